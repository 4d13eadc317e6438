//! What took effect, and how often: a fault that is drawn and does nothing tests nothing.

use std::collections::BTreeMap;
use std::fmt;

macro_rules! marks {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// Something that took effect.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark {
            $($(#[$doc])* $variant,)*
        }

        impl Mark {
            /// Every mark.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What is counted.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

marks! {
    /// A message got lost.
    Lost = "messages lost";
    /// A gossip message came twice.
    GossipTwice = "gossip doubled";
    /// A request came twice.
    RequestTwice = "requests doubled";
    /// An answer came twice.
    AnswerTwice = "answers doubled";
    /// A message arrived before one that was sent earlier on the same link.
    Overtook = "messages overtaken";
    /// A message waited for its link.
    HeldUp = "messages held up";
    /// A message got lost on a link that is deaf in this direction.
    Unheard = "messages on deaf links";
    /// A message got lost between two sides of which one alone hears the other.
    OneWay = "messages across one-way partitions";
    /// A connection broke.
    Cut = "connections cut";
    /// Two sides did not see each other.
    Partitioned = "partitions";
    /// What was broken between hosts was mended amid the mischief.
    Healed = "heals";
    /// The clock of a running host was set to another time.
    Stepped = "clocks stepped";
    /// A host stopped.
    Crashed = "crashes";
    /// Writes under way were lost with their host.
    LostUnsynced = "unsynced writes lost";
    /// A start found a half of a batch, and dropped it.
    TornDropped = "torn batches dropped";
    /// The end of a chain that was synced was lost.
    LostSynced = "synced writes lost";
    /// A bit of a stored statement or digest changed.
    RottenEntry = "entries rotten";
    /// A bit of a stored head changed.
    RottenHead = "heads rotten";
    /// A bit of a stored tree changed.
    RottenTree = "trees rotten";
    /// A bit of stored cosignatures changed.
    RottenCosignatures = "cosignatures rotten";
    /// A bit of a stored proof of misbehaviour changed.
    RottenProof = "proofs rotten";
    /// A start found something damaged.
    Repaired = "starts that repaired";
    /// A write failed for want of room.
    Full = "full disks";
    /// An old copy of a host's data took its place.
    Restored = "old backups restored";
    /// A second machine with a host's keys ran.
    SecondFace = "second machines";
    /// Both branches of a forked chain lay on honest disks.
    Forked = "forks on honest disks";
    /// Something was not served or not passed on.
    Withheld = "answers and gossip withheld";
    /// Something forged was sent.
    Forged = "forgeries sent";
    /// Requests and noise of a flood were sent.
    Flooded = "floods";
    /// Something overheard was said again.
    Replayed = "messages replayed";
    /// A cosignature without a check, or a false one, was sent.
    Lied = "lies of witnesses";
    /// A vote for nobody's good is in a chain.
    Misvoted = "malicious votes";
    /// An organisation that is no founder was voted in.
    Admitted = "organisations admitted";
    /// A member left.
    Left = "members left";
    /// A member was voted out.
    Expelled = "members expelled";
    /// New terms came into force.
    Amended = "terms amended";
    /// A host bound its peer's key anew.
    Renewed = "bindings renewed";
    /// A host went on under a new peer key.
    Rotated = "peer keys rotated";
    /// A host paused its exchange with another.
    Paused = "exchanges paused";
    /// It resumed it.
    Resumed = "exchanges resumed";
    /// A party accepted an agreement.
    Accepted = "agreements accepted";
    /// A statement that is for parties lies on the disk of one that is not its author.
    Crossed = "limited statements crossed";
    /// A private statement is in a chain.
    Private = "private statements";
    /// A link is in a chain.
    Linked = "links";
    /// An answer to a link is in a chain.
    Answered = "counterfoils";
    /// Heads of others are in a chain.
    Anchored = "anchors";
    /// A recall is in a chain.
    Recalled = "recalls";
    /// The end of an authority is in a chain.
    Revoked = "revocations";
    /// What a revoked authority signed was refused.
    Refused = "statements of the revoked refused";
    /// A decision is in a chain.
    Decided = "decisions";
}

/// How often each took effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<Mark, u64>);

impl Tally {
    /// Once more.
    pub fn took(&mut self, mark: Mark) {
        *self.0.entry(mark).or_default() += 1;
    }

    /// How often it did.
    pub fn count(&self, mark: Mark) -> u64 {
        self.0.get(&mark).copied().unwrap_or_default()
    }

    /// Takes another's counts in.
    pub fn add(&mut self, other: &Self) {
        for (mark, count) in &other.0 {
            *self.0.entry(*mark).or_default() += count;
        }
    }

    /// What never took effect.
    pub fn never(&self) -> Vec<Mark> {
        Mark::ALL.iter().copied().filter(|mark| self.count(*mark) == 0).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = Mark::ALL.iter().map(|mark| format!("{} {}", self.count(*mark), mark.name()));
        f.write_str(&counts.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_what_never_happened_is_named() {
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.took(Mark::Lost);
        other.took(Mark::Lost);
        Mark::ALL.iter().skip(2).for_each(|mark| other.took(*mark));
        one.add(&other);
        assert_eq!((one.count(Mark::Lost), one.never()), (2, vec![Mark::GossipTwice]));
        assert!(one.to_string().starts_with("2 messages lost, 0 gossip doubled, 1 requests doubled"));
    }
}
