//! Who is a member, and under which terms, as the statements in the members' chains say: the admission log.
//!
//! Nobody keeps a list. Each organisation folds the votes that it has verified: starting from the charter's founders,
//! an organisation is let in when the latest votes of enough members say so at one time, and put out when as many say that;
//! what was decided stands until enough decide otherwise, so that nobody undoes it alone. New terms are in force when enough
//! members say the same. The order of arrival plays no part; votes of organisations that were never members count nothing,
//! and those of former members go on counting, so that nobody goes because of whoever voted for it.
//!
//! Where the charter says so, all votes of an organisation that has forked its chain count nothing either, earlier ones
//! too: different members may have seen different votes of it, and must come to the same membership.
//!
//! The same fold over the statements made until some second gives the membership of that time, so that a head which its
//! chain's witnesses of then had seen stays witnessed when others take their places.

mod standing;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::chain::cosignature::Cosignature;
use crate::ids::{MeshId, OrganisationId, Position, StatementId, Timestamp};
use crate::limits::VOTES_KEPT_MAX;
use crate::statement::{Payload, Verified};

use self::standing::{History, Vote, admits};
use super::charter::{Admission, Amendment, Ballot, Charter, Invitation, OnFork, Terms, WITNESSES};
use super::witnesses::Electorate;

/// A statement that bears on the membership: where it stands, and when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act {
    /// Position in its chain.
    pub position: Position,
    /// The statement.
    pub statement: StatementId,
    /// When its author says that it was made.
    pub time: Timestamp,
}

/// What one organisation says, time after time, in the order of its chain. The latest counts.
type Said<T> = Vec<(Act, T)>;

/// What several say.
type By<T> = BTreeMap<OrganisationId, Said<T>>;

/// Members and terms at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Era {
    charter: Arc<Charter>,
    version: u64,
    /// Everybody who ever was a member: their votes count.
    admitted: BTreeSet<OrganisationId>,
    /// Members: the founders in the charter's order, then the admitted by id.
    members: Vec<OrganisationId>,
    sorted: BTreeSet<OrganisationId>,
    electorate: Arc<Electorate>,
}

impl Era {
    /// The charter, with the terms in force.
    pub fn charter(&self) -> &Charter {
        &self.charter
    }

    /// Which version of the terms is in force; the charter's own are version 0.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Names the terms in force, as [`Amendment::digest`] names those that are voted for.
    pub fn terms_digest(&self, mesh: MeshId) -> [u8; 32] {
        Amendment { mesh, version: self.version, terms: self.charter.terms() }.digest()
    }

    /// Members: the founders in the charter's order, then the admitted by id.
    pub fn members(&self) -> &[OrganisationId] {
        &self.members
    }

    /// Whether `organisation` is a member.
    pub fn contains(&self, organisation: &OrganisationId) -> bool {
        self.sorted.contains(organisation)
    }

    /// All who are or were members, by id.
    pub const fn admitted(&self) -> &BTreeSet<OrganisationId> {
        &self.admitted
    }

    /// The members among whom each chain's witnesses are chosen.
    pub const fn electorate(&self) -> &Arc<Electorate> {
        &self.electorate
    }
}

/// New terms that are voted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The version that they are to be.
    pub version: u64,
    /// Digest of what the votes say.
    pub digest: [u8; 32],
    /// The terms.
    pub terms: Terms,
    /// Members that vote for them.
    pub votes: Vec<OrganisationId>,
}

/// The membership of one mesh.
#[derive(Debug, Clone)]
pub struct Membership {
    mesh: MeshId,
    founding: Arc<Charter>,
    /// By the organisation voted about, then by the voter.
    votes: BTreeMap<OrganisationId, By<Vote>>,
    /// By version, then by the voter.
    amendments: BTreeMap<u64, By<Terms>>,
    departures: By<StatementId>,
    invitations: BTreeMap<StatementId, (OrganisationId, Invitation)>,
    parents: BTreeMap<OrganisationId, String>,
    exposed: BTreeSet<OrganisationId>,
    /// When what is here was said.
    times: BTreeSet<Timestamp>,
    now: Arc<Era>,
}

/// The last of what was said until `until`.
fn last<T>(said: &Said<T>, until: Option<Timestamp>) -> Option<&(Act, T)> {
    said.iter().rev().find(|(act, _)| until.is_none_or(|until| act.time <= until))
}

/// Takes in what was said at one position, once. Returns whether it is new.
fn say<T: PartialEq>(said: &mut Said<T>, act: Act, what: T) -> bool {
    let place = said.partition_point(|(earlier, _)| earlier.position < act.position);
    if said.get(place).is_some_and(|(at, _)| at.position == act.position) {
        return false;
    }
    said.insert(place, (act, what));
    if said.len() > VOTES_KEPT_MAX {
        // What says the same again adds nothing. Else what was said first is forgotten first.
        let again = said.windows(2).position(|two| matches!(two, [(_, one), (_, other)] if one == other));
        said.remove(again.map_or(0, |first| first + 1));
    }
    true
}

impl Membership {
    /// The membership of a mesh in which nobody has voted yet: the charter's founders.
    pub fn new(mesh: MeshId, charter: Charter) -> Self {
        let charter = Arc::new(charter);
        let era = Era {
            charter: charter.clone(),
            version: 0,
            admitted: BTreeSet::new(),
            members: Vec::new(),
            sorted: BTreeSet::new(),
            electorate: Arc::new(Electorate::new(mesh, 0, [])),
        };
        let mut membership = Self {
            mesh,
            founding: charter,
            votes: BTreeMap::new(),
            amendments: BTreeMap::new(),
            departures: BTreeMap::new(),
            invitations: BTreeMap::new(),
            parents: BTreeMap::new(),
            exposed: BTreeSet::new(),
            times: BTreeSet::new(),
            now: Arc::new(era),
        };
        membership.refold();
        membership
    }

    /// The mesh.
    pub const fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// Members and terms at present.
    pub fn now(&self) -> &Era {
        &self.now
    }

    /// The charter, with the terms in force.
    pub fn charter(&self) -> &Charter {
        &self.now.charter
    }

    /// Members: the founders in the charter's order, then the admitted by id.
    pub fn members(&self) -> &[OrganisationId] {
        &self.now.members
    }

    /// Whether `organisation` is a member.
    pub fn contains(&self, organisation: &OrganisationId) -> bool {
        self.now.contains(organisation)
    }

    /// Whether `organisation` is or ever was a member. Its votes count either way, so whoever is to come to the same membership
    /// needs its chain.
    pub fn has_admitted(&self, organisation: &OrganisationId) -> bool {
        self.now.admitted.contains(organisation)
    }

    /// Votes that an admission or expulsion needs.
    pub fn threshold(&self) -> usize {
        threshold(&self.now.charter)
    }

    /// Votes that new terms need.
    pub fn amendment_threshold(&self) -> usize {
        amendment_threshold(&self.now.charter)
    }

    /// The members and terms of a time, as what is known by now says.
    pub fn at(&self, time: Timestamp) -> Cow<'_, Era> {
        match self.changed_after(time) {
            false => Cow::Borrowed(self.now.as_ref()),
            true => Cow::Owned(self.era(Some(time))),
        }
    }

    fn changed_after(&self, time: Timestamp) -> bool {
        self.times.last().is_some_and(|last| time < *last)
    }

    /// Cosignatures that make a head of `chain` witnessed at present: the charter's quorum, or those of all its witnesses
    /// while there are fewer. Quarantined members see no heads to cosign.
    pub fn witness_quorum(&self, chain: &OrganisationId) -> usize {
        self.quorum_of(&self.now.electorate.witnesses(chain))
    }

    /// As [`Self::witness_quorum`], of the chain whose witnesses these are.
    pub fn quorum_of(&self, witnesses: &[OrganisationId]) -> usize {
        self.quorum(&self.now, witnesses)
    }

    fn quorum(&self, era: &Era, witnesses: &[OrganisationId]) -> usize {
        let free = witnesses.iter().filter(|witness| !self.is_quarantined(witness)).count();
        usize::from(era.charter.witness_quorum).min(free)
    }

    /// When a quorum of the witnesses of `chain` had seen a head that has these cosignatures. Each counts if its author was
    /// one of the chain's witnesses when it signed, whoever is one today.
    pub fn witnessed<'a>(
        &self,
        chain: &OrganisationId,
        cosignatures: impl IntoIterator<Item = &'a Cosignature>,
    ) -> Option<Timestamp> {
        self.quorum_among(chain, cosignatures)?.last().map(|last| last.time)
    }

    /// The cosignatures that make a head of `chain` witnessed, as [`Self::witnessed`] counts them: the earliest quorum.
    pub fn quorum_among<'a>(
        &self,
        chain: &OrganisationId,
        cosignatures: impl IntoIterator<Item = &'a Cosignature>,
    ) -> Option<Vec<&'a Cosignature>> {
        let mut cosignatures: Vec<&Cosignature> = cosignatures.into_iter().collect();
        cosignatures.sort_by_key(|cosignature| (cosignature.time, cosignature.witness));
        let mut counted = Vec::new();
        // Until when the era looked at last holds, its witnesses, and how many of them are a quorum.
        let mut era: Option<(Option<Timestamp>, Vec<OrganisationId>, usize)> = None;
        for cosignature in cosignatures {
            let holds = |until: &Option<Timestamp>| until.is_none_or(|until| cosignature.time < until);
            let (until, witnesses, quorum) = match era.take().filter(|(until, ..)| holds(until)) {
                Some(era) => era,
                None => {
                    let then = self.at(cosignature.time);
                    let witnesses = then.electorate.witnesses(chain);
                    let quorum = self.quorum(&then, &witnesses);
                    let next = (Bound::Excluded(cosignature.time), Bound::Unbounded);
                    (self.times.range(next).next().copied(), witnesses, quorum)
                }
            };
            // A line that does not count decides nothing, even where fewer would do by then.
            if witnesses.contains(&cosignature.witness) {
                counted.push(cosignature);
                if quorum > 0 && counted.len() >= quorum {
                    return Some(counted);
                }
            }
            era = Some((until, witnesses, quorum));
        }
        None
    }

    /// Whether `witness` was one of the witnesses of `chain` at `time`.
    pub fn was_witness(&self, chain: &OrganisationId, witness: &OrganisationId, time: Timestamp) -> bool {
        self.at(time).electorate.witnesses(chain).contains(witness)
    }

    /// Takes note that an organisation is proven to have forked its chain, and does what the charter says about that.
    /// Returns whether the membership changed.
    pub fn expose(&mut self, organisation: OrganisationId) -> bool {
        self.exposed.insert(organisation) && self.refold()
    }

    /// Whether an organisation's votes count no more, because it forked its chain.
    pub fn is_quarantined(&self, organisation: &OrganisationId) -> bool {
        is_quarantined(&self.now.charter, &self.exposed, organisation)
    }

    /// Takes in a verified statement, if it bears on this membership. Returns whether members, terms or witnesses changed.
    pub fn take(&mut self, verified: &Verified) -> bool {
        let act = Act {
            position: verified.position(),
            statement: verified.id(),
            time: verified.statement().header().issued_at,
        };
        let author = verified.organisation();
        match verified.payload() {
            Payload::Admission(admission) => self.vote(author, act, admission),
            Payload::Amendment(amendment) => self.amend(author, act, amendment),
            Payload::Leave(leave) if leave.mesh == self.mesh => self.depart(author, act),
            Payload::Invitation(invitation) if invitation.mesh == self.mesh => {
                self.invitations.insert(act.statement, (author, invitation.clone()));
                false
            }
            Payload::Organisation(organisation, _) => self.declare(author, organisation.parent.as_deref()),
            _ => false,
        }
    }

    /// Takes in a vote from the chain of `voter`.
    fn vote(&mut self, voter: OrganisationId, act: Act, admission: &Admission) -> bool {
        if admission.mesh != self.mesh {
            return false;
        }
        let about = admission.organisation;
        let said = self.votes.entry(about).or_default().entry(voter).or_default();
        if !say(said, act, (admission.ballot, admission.after)) {
            return false;
        }
        self.times.insert(act.time);
        // Most votes decide nothing yet. Under amended terms it matters who was admitted under earlier ones too.
        let votes = self.votes.get(&about).map_or(0, BTreeMap::len);
        let is_idle = !self.now.admitted.contains(&voter)
            || !self.now.admitted.contains(&about) && votes < self.threshold();
        (self.now.version > 0 || !is_idle) && self.refold()
    }

    fn amend(&mut self, voter: OrganisationId, act: Act, amendment: &Amendment) -> bool {
        if amendment.mesh != self.mesh {
            return false;
        }
        let voters = self.amendments.entry(amendment.version).or_default();
        if !say(voters.entry(voter).or_default(), act, amendment.terms) {
            return false;
        }
        self.times.insert(act.time);
        (self.now.version > 0 || self.now.admitted.contains(&voter)) && self.refold()
    }

    fn depart(&mut self, author: OrganisationId, act: Act) -> bool {
        if !say(self.departures.entry(author).or_default(), act, act.statement) {
            return false;
        }
        self.times.insert(act.time);
        self.refold()
    }

    /// Takes note of the parent that an organisation declares: no chain has two witnesses of one parent.
    fn declare(&mut self, organisation: OrganisationId, parent: Option<&str>) -> bool {
        let earlier = match parent {
            Some(parent) => self.parents.insert(organisation, parent.to_owned()),
            None => self.parents.remove(&organisation),
        };
        earlier.as_deref() != parent && self.now.contains(&organisation) && self.refold()
    }

    fn refold(&mut self) -> bool {
        let era = self.era(None);
        let changed = era != *self.now;
        self.now = Arc::new(era);
        changed
    }

    /// Those whose votes count, and whose latest vote about `organisation` is this.
    pub fn voted(&self, organisation: &OrganisationId, ballot: Ballot) -> Vec<OrganisationId> {
        let left = self.left(organisation, None);
        let is_meant =
            |vote: Vote| if ballot == Ballot::Admit { admits(vote, left) } else { vote.0 == ballot };
        let votes = self.votes.get(organisation).into_iter().flatten();
        let meant = votes.filter(|(voter, said)| {
            self.counts(&self.now.charter, voter, &self.now.admitted)
                && last(said, None).is_some_and(|(_, vote)| is_meant(*vote))
        });
        meant.map(|(voter, _)| *voter).collect()
    }

    /// Organisations that have votes but are not members.
    pub fn candidates(&self) -> Vec<OrganisationId> {
        self.votes.keys().filter(|organisation| !self.contains(organisation)).copied().collect()
    }

    /// The statement by which an organisation left, if it did: votes that let it in again name it.
    pub fn departure(&self, organisation: &OrganisationId) -> Option<StatementId> {
        self.left(organisation, None)
    }

    fn left(&self, organisation: &OrganisationId, until: Option<Timestamp>) -> Option<StatementId> {
        let said = self.departures.get(organisation)?;
        last(said, until).map(|(_, statement)| *statement)
    }

    /// The invitation with this id, and the member in whose chain it stands.
    pub fn invitation(&self, id: &StatementId) -> Option<(OrganisationId, &Invitation)> {
        let (author, invitation) = self.invitations.get(id)?;
        self.contains(author).then_some((*author, invitation))
    }

    /// Terms that are voted for and could come next.
    pub fn proposals(&self) -> Vec<Proposal> {
        let next = self.now.version.saturating_add(1);
        self.proposed(&self.now.charter, next, &self.now.admitted, None)
    }

    /// What is voted for as the terms of `version`, by those of `admitted` whose votes count.
    fn proposed(
        &self,
        charter: &Charter,
        version: u64,
        admitted: &BTreeSet<OrganisationId>,
        until: Option<Timestamp>,
    ) -> Vec<Proposal> {
        let mut found: BTreeMap<[u8; 32], Proposal> = BTreeMap::new();
        for (voter, said) in self.amendments.get(&version).into_iter().flatten() {
            let Some((_, terms)) = last(said, until).filter(|_| self.counts(charter, voter, admitted)) else {
                continue;
            };
            let digest = Amendment { mesh: self.mesh, version, terms: *terms }.digest();
            let fresh = || Proposal { version, digest, terms: *terms, votes: Vec::new() };
            found.entry(digest).or_insert_with(fresh).votes.push(*voter);
        }
        found.into_values().collect()
    }

    /// Whether the votes of `voter` count among those who were admitted.
    fn counts(&self, charter: &Charter, voter: &OrganisationId, admitted: &BTreeSet<OrganisationId>) -> bool {
        admitted.contains(voter) && !is_quarantined(charter, &self.exposed, voter)
    }

    /// What was said about an organisation until `until`, by itself and by those whose votes count.
    fn history(
        &self,
        charter: &Charter,
        admitted: &BTreeSet<OrganisationId>,
        organisation: &OrganisationId,
        until: Option<Timestamp>,
    ) -> History {
        let votes = self.votes.get(organisation).into_iter().flatten();
        let votes = votes.filter(|(voter, _)| self.counts(charter, voter, admitted));
        History::new(votes, self.departures.get(organisation), until)
    }

    /// Admits round by round until nothing changes: adding a member only ever adds votes that count, so the result does
    /// not depend on the order.
    fn admitted(&self, charter: &Charter, until: Option<Timestamp>) -> BTreeSet<OrganisationId> {
        let mut admitted: BTreeSet<OrganisationId> = charter.members.iter().copied().collect();
        loop {
            let before = admitted.len();
            for (candidate, votes) in &self.votes {
                // Most have too few votes, whatever they say.
                if votes.len() >= threshold(charter)
                    && !admitted.contains(candidate)
                    && self.history(charter, &admitted, candidate, until).was_admitted(threshold(charter))
                {
                    admitted.insert(*candidate);
                }
            }
            if admitted.len() == before {
                return admitted;
            }
        }
    }

    /// Terms follow terms, version by version, each voted for under the one before it; then those are removed who have
    /// left or whom enough members vote out.
    fn era(&self, until: Option<Timestamp>) -> Era {
        let (mut charter, mut version) = (self.founding.clone(), 0u64);
        let admitted = loop {
            let admitted = self.admitted(&charter, until);
            let next = version.saturating_add(1);
            let enough = amendment_threshold(&charter);
            let mut proposals = self.proposed(&charter, next, &admitted, until);
            // Terms under which nothing could ever be decided again are none.
            proposals
                .retain(|one| one.votes.len() >= enough && one.terms.highest_threshold() <= admitted.len());
            // Two can have enough votes when the threshold is no majority.
            proposals.sort_by_key(|one| (std::cmp::Reverse(one.votes.len()), one.digest));
            let Some(accepted) = proposals.first() else { break admitted };
            charter = Arc::new(charter.under(&accepted.terms));
            version = next;
        };
        let is_member = |organisation: &OrganisationId| {
            let is_founder = charter.members.contains(organisation);
            self.history(&charter, &admitted, organisation, until).is_in(is_founder, threshold(&charter))
        };
        let founders = charter.members.iter();
        let later = admitted.iter().filter(|admitted| !charter.members.contains(admitted));
        let members: Vec<OrganisationId> =
            founders.chain(later).filter(|id| is_member(id)).copied().collect();
        let most = usize::from(charter.witnesses.unwrap_or(WITNESSES));
        let parent = |id: &OrganisationId| self.parents.get(id).map(String::as_str);
        let electorate = Electorate::new(self.mesh, most, members.iter().map(|id| (*id, parent(id))));
        let sorted = members.iter().copied().collect();
        Era { charter, version, admitted, members, sorted, electorate: Arc::new(electorate) }
    }
}

fn threshold(charter: &Charter) -> usize {
    usize::from(charter.admission_threshold).max(1)
}

fn amendment_threshold(charter: &Charter) -> usize {
    usize::from(charter.amendment_threshold.unwrap_or(charter.admission_threshold)).max(1)
}

fn is_quarantined(
    charter: &Charter,
    exposed: &BTreeSet<OrganisationId>,
    organisation: &OrganisationId,
) -> bool {
    charter.on_fork == OnFork::Quarantine && exposed.contains(organisation)
}

#[cfg(test)]
mod tests;
