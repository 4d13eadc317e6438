//! The invariants. Each checker looks at what was seen on the wire and at the doors, and at what lies on the disks. An
//! engine's opinion is asked for invariant 12 alone: a start and a repetition leave it as it was.
//!
//! | invariant | checker | where |
//! | --- | --- | --- |
//! | 1 one head for each number | `no-honest-fork` | [`chains`] |
//! | 2 published implies durable, acknowledged is never lost | `durable`, `acknowledged-provable` | [`chains`] |
//! | 3 heads extend heads | `append-only` | [`chains`] |
//! | 4 no honest organisation is provably guilty | `no-honest-conviction` | [`misbehaviour`] |
//! | 5 equivocators are exposed | `exposure` | [`misbehaviour`] |
//! | 6 verdicts are pure | `verdict` | [`decisions`] |
//! | 7 unknown is never good | `unknown` | [`decisions`] |
//! | 8 no signature out of its position | `positions` | [`chains`] |
//! | 9 recalls are reflected | `recalled` | [`decisions`] |
//! | 10 what is limited stays where it belongs | `limited` | [`bounds`] |
//! | 11 what a peer takes is bounded | `bounded` | [`bounds`] |
//! | 12 restart equals no restart, replay is idempotent | `restart`, `replay` | [`restart`] |
//! | 13 received bytes are kept as they came | `bytes` | [`chains`] |
//!
//! Besides these: `alarm` and `closed` (no honest host alarms, or closes its connection to another honest one for
//! misbehaviour), and after healing `convergence`, `heals` and `recall-reach`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_federation::Millis;
use counterfoil_protocol::ids::{HeadHash, OrganisationId};

use crate::gossip::RETOLD;
use crate::members::Roll;

pub mod bounds;
pub mod chains;
pub mod decisions;
pub mod misbehaviour;
pub mod restart;

pub use bounds::limited_stays_limited;
pub use misbehaviour::{OnDisk, exposure, no_honest_conviction};

/// An invariant that does not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The checker.
    pub checker: &'static str,
    /// What it saw.
    pub text: String,
}

/// A violation.
pub(crate) fn violation(checker: &'static str, text: String) -> Violation {
    Violation { checker, text }
}

/// What every host should have come to have: the same head of each chain.
pub fn convergence(
    hosts: &[(usize, BTreeMap<OrganisationId, Option<HeadHash>>)],
    organisations: &BTreeSet<OrganisationId>,
) -> Option<Violation> {
    let (_, reference) = hosts.first()?;
    hosts.iter().find_map(|(host, heads)| {
        organisations.iter().find_map(|organisation| {
            let (here, there) = (heads.get(organisation), reference.get(organisation));
            (here != there || here.is_none_or(Option::is_none)).then(|| {
                let text = format!("host {host} has head {here:?} of {organisation}, others {there:?}");
                violation("convergence", text)
            })
        })
    })
}

/// All know the same members and the same terms. Those that contradict themselves are left out: what they say need not reach
/// everybody.
pub fn membership(hosts: &[(usize, Arc<Roll>)], misbehaved: &BTreeSet<OrganisationId>) -> Option<Violation> {
    let (first, reference) = hosts.first()?;
    hosts.iter().find_map(|(host, roll)| {
        let mut differ = roll.members.symmetric_difference(&reference.members);
        let text = match differ.find(|organisation| !misbehaved.contains(organisation)) {
            Some(one) => format!("hosts {first} and {host} do not agree on whether {one} is a member"),
            None if roll.version != reference.version => {
                let (one, other) = (reference.version, roll.version);
                format!("host {first} is under version {one} of the terms, and host {host} under {other}")
            }
            None => return None,
        };
        Some(violation("convergence", text))
    })
}

/// Links within which gossip brings a recall to whoever does not have it on disk within one anti-entropy period.
pub const RECALL_HOPS: u8 = 4;

/// A recall reaches every host by itself: those that did not have it on disk within one period had heard of it by gossip
/// over few links. `heard` says by host when and over how many links the first word of it came.
pub fn recall_reach(late: &[usize], heard: &BTreeMap<usize, (Millis, u8)>) -> Option<Violation> {
    late.iter().find_map(|host| {
        let text = match heard.get(host) {
            Some((_, hops)) if *hops <= RECALL_HOPS => return None,
            Some((_, hops)) if *hops < RETOLD => format!("heard of it over {hops} links"),
            _ => "had it from no gossip".to_owned(),
        };
        let text = format!("host {host} did not have the recall on disk within one period, and {text}");
        Some(violation("recall-reach", text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_know_the_same_members_and_terms_but_for_those_that_contradict_themselves() {
        let org = |n: u8| OrganisationId::from_bytes([n; 32]);
        let roll = |members: &[u8], version: u64| {
            Arc::new(Roll { members: members.iter().map(|n| org(*n)).collect(), version })
        };
        let found = |rolls: &[(usize, Arc<Roll>)], misbehaved: &[u8]| {
            let misbehaved = misbehaved.iter().map(|n| org(*n)).collect();
            membership(rolls, &misbehaved).map(|found| found.text)
        };
        let (two, one) = (roll(&[1, 2], 0), roll(&[1], 0));
        assert_eq!(found(&[(4, two.clone()), (5, two.clone())], &[]), None);
        let text = Some(format!("hosts 4 and 5 do not agree on whether {} is a member", org(2)));
        assert_eq!(found(&[(4, one.clone()), (5, two.clone())], &[]), text);
        assert_eq!(found(&[(4, two.clone()), (5, one.clone())], &[]), text);
        assert_eq!(found(&[(4, one.clone()), (5, two)], &[2]), None);
        let text = Some("host 4 is under version 0 of the terms, and host 5 under 1".to_owned());
        assert_eq!(found(&[(4, one), (5, roll(&[1], 1))], &[]), text);
    }

    #[test]
    fn whoever_has_a_recall_late_has_heard_of_it_over_few_links() {
        let heard = BTreeMap::from([(1, (Millis(9), 4)), (2, (Millis(9), 5)), (3, (Millis(9), RETOLD + 1))]);
        let found = |late: &[usize]| recall_reach(late, &heard).map(|found| found.text);
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[1]), None);
        let late = |host: usize, how: &str| {
            Some(format!("host {host} did not have the recall on disk within one period, and {how}"))
        };
        assert_eq!(found(&[1, 2]), late(2, "heard of it over 5 links"));
        assert_eq!(found(&[1, 3]), late(3, "had it from no gossip"));
        assert_eq!(found(&[1, 7, 2]), late(7, "had it from no gossip"));
    }
}
