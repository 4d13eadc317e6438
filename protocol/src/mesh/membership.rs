//! Who is a member, as the votes in the members' chains say: the admission log.
//!
//! Nobody keeps a list. Each organisation folds the votes that it has verified: starting from the charter's founders,
//! an organisation is a member when enough members vote for it. The order of arrival plays no part; votes of
//! organisations that are not members count nothing.
//!
//! Where the charter says so, all votes of an organisation that has forked its chain count nothing either, earlier ones
//! too: different members may have seen different votes of it, and must come to the same membership.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{MeshId, OrganisationId, Position, StatementId};

use super::charter::{Admission, Ballot, Charter, OnFork};

/// A vote and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Vote {
    position: Position,
    ballot: Ballot,
    statement: StatementId,
}

/// The membership of one mesh.
#[derive(Debug, Clone)]
pub struct Membership {
    mesh: MeshId,
    charter: Charter,
    /// By the organisation voted about, then by the voter: the voter's latest vote.
    votes: BTreeMap<OrganisationId, BTreeMap<OrganisationId, Vote>>,
    quarantined: BTreeSet<OrganisationId>,
    /// Members: the founders in the charter's order, then the admitted by id.
    members: Vec<OrganisationId>,
}

impl Membership {
    /// The membership of a mesh in which nobody has voted yet: the charter's founders.
    pub fn new(mesh: MeshId, charter: Charter) -> Self {
        let members = charter.members.clone();
        Self { mesh, charter, votes: BTreeMap::new(), quarantined: BTreeSet::new(), members }
    }

    /// The mesh.
    pub const fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// The constitution.
    pub const fn charter(&self) -> &Charter {
        &self.charter
    }

    /// Members: the founders in the charter's order, then the admitted by id.
    pub fn members(&self) -> &[OrganisationId] {
        &self.members
    }

    /// Whether `organisation` is a member.
    pub fn contains(&self, organisation: &OrganisationId) -> bool {
        self.members.contains(organisation)
    }

    /// Votes that an admission or expulsion needs.
    pub fn threshold(&self) -> usize {
        usize::from(self.charter.admission_threshold).max(1)
    }

    /// Cosignatures that make a checkpoint witnessed at present: the charter's quorum, or all other members while
    /// there are fewer. Quarantined members see no heads to cosign.
    pub fn witness_quorum(&self) -> usize {
        let witnesses = self.members.iter().filter(|member| !self.is_quarantined(member)).count();
        usize::from(self.charter.witness_quorum).min(witnesses.saturating_sub(1))
    }

    /// Takes note that an organisation is proven to have forked its chain, and does what the charter says about that.
    /// Returns whether the membership changed.
    pub fn expose(&mut self, organisation: OrganisationId) -> bool {
        if self.charter.on_fork == OnFork::Keep || !self.quarantined.insert(organisation) {
            return false;
        }
        self.refold()
    }

    /// Whether an organisation's votes count no more, because it forked its chain.
    pub fn is_quarantined(&self, organisation: &OrganisationId) -> bool {
        self.quarantined.contains(organisation)
    }

    /// Takes in a verified vote from the chain of `voter`. Returns whether the membership changed.
    pub fn vote(
        &mut self,
        voter: OrganisationId,
        position: Position,
        statement: StatementId,
        admission: &Admission,
    ) -> bool {
        if admission.mesh != self.mesh {
            return false;
        }
        let vote = Vote { position, ballot: admission.ballot, statement };
        let votes = self.votes.entry(admission.organisation).or_default();
        match votes.get(&voter) {
            Some(earlier) if earlier.position >= position => return false,
            _ => votes.insert(voter, vote),
        };
        self.refold()
    }

    fn refold(&mut self) -> bool {
        let members = self.fold();
        let changed = members != self.members;
        self.members = members;
        changed
    }

    /// Whether the votes of `voter` count among `members`.
    fn counts(&self, voter: &OrganisationId, members: &[OrganisationId]) -> bool {
        members.contains(voter) && !self.is_quarantined(voter)
    }

    /// Members that have voted to admit `organisation`, and those that have not.
    pub fn tally(&self, organisation: &OrganisationId) -> (Vec<OrganisationId>, Vec<OrganisationId>) {
        let votes = self.votes.get(organisation);
        self.members.iter().partition(|member| {
            !self.is_quarantined(member)
                && votes.and_then(|votes| votes.get(member)).is_some_and(|vote| vote.ballot == Ballot::Admit)
        })
    }

    /// Organisations that have votes but are not members.
    pub fn candidates(&self) -> Vec<OrganisationId> {
        self.votes.keys().filter(|organisation| !self.contains(organisation)).copied().collect()
    }

    /// Statements of the votes that count for the present membership.
    pub fn vote_statements(&self) -> Vec<StatementId> {
        self.votes
            .values()
            .flat_map(|votes| votes.iter())
            .filter(|(voter, _)| self.counts(voter, &self.members))
            .map(|(_, vote)| vote.statement)
            .collect()
    }

    /// Admits round by round until nothing changes (adding a member only ever adds votes that count, so the result
    /// does not depend on the order), then removes whom enough of those members vote out.
    fn fold(&self) -> Vec<OrganisationId> {
        let count = |members: &[OrganisationId], about: &OrganisationId, ballot: Ballot| {
            self.votes.get(about).map_or(0, |votes| {
                votes
                    .iter()
                    .filter(|(voter, vote)| vote.ballot == ballot && self.counts(voter, members))
                    .count()
            })
        };
        let mut admitted = self.charter.members.clone();
        loop {
            let before = admitted.len();
            for candidate in self.votes.keys() {
                if !admitted.contains(candidate)
                    && count(&admitted, candidate, Ballot::Admit) >= self.threshold()
                {
                    admitted.push(*candidate);
                }
            }
            if admitted.len() == before {
                break;
            }
        }
        let founders = self.charter.members.len();
        if let Some(later) = admitted.get_mut(founders..) {
            later.sort();
        }
        let mut members = admitted.clone();
        members.retain(|member| count(&admitted, member, Ballot::Expel) < self.threshold());
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(n: u8) -> OrganisationId {
        OrganisationId::from_bytes([n; 32])
    }

    fn membership() -> Membership {
        let charter = Charter {
            name: "test".into(),
            members: vec![org(0), org(1), org(2)],
            admission_threshold: 2,
            witness_quorum: 2,
            freshness_s: 60,
            link_answer_s: 60,
            on_fork: OnFork::Quarantine,
        };
        assert_eq!(charter.check(), Ok(()));
        Membership::new(MeshId::from_bytes([9; 32]), charter)
    }

    fn vote(m: &mut Membership, voter: u8, position: u64, about: u8, ballot: Ballot) -> bool {
        let admission = Admission { mesh: MeshId::from_bytes([9; 32]), organisation: org(about), ballot };
        m.vote(org(voter), Position(position), StatementId::from_bytes([voter; 32]), &admission)
    }

    #[test]
    fn two_of_three_admit_and_one_does_not() {
        let mut m = membership();
        assert!(!vote(&mut m, 2, 1, 3, Ballot::Admit));
        assert_eq!(m.tally(&org(3)), (vec![org(2)], vec![org(0), org(1)]));
        assert_eq!(m.candidates(), [org(3)]);
        assert!(vote(&mut m, 1, 2, 3, Ballot::Admit));
        assert_eq!(m.members(), [org(0), org(1), org(2), org(3)]);
        assert_eq!(m.witness_quorum(), 2);
    }

    #[test]
    fn votes_in_any_order_give_the_same_members() {
        let votes = [(0, 1, 8), (1, 1, 8), (0, 2, 5), (8, 1, 5), (5, 1, 4), (9, 1, 4), (9, 2, 6), (3, 1, 6)];
        let mut expected = membership();
        for (voter, position, about) in votes {
            vote(&mut expected, voter, position, about, Ballot::Admit);
        }
        let mut reversed = membership();
        for (voter, position, about) in votes.iter().rev() {
            vote(&mut reversed, *voter, *position, *about, Ballot::Admit);
        }
        assert_eq!(expected.members(), [org(0), org(1), org(2), org(5), org(8)]);
        assert_eq!(expected.members(), reversed.members());
    }

    #[test]
    fn expulsion_needs_the_threshold_and_a_later_vote_replaces_an_earlier_one() {
        let mut m = membership();
        assert!(!vote(&mut m, 0, 3, 2, Ballot::Expel));
        assert!(vote(&mut m, 1, 3, 2, Ballot::Expel));
        assert!(!m.contains(&org(2)));
        assert!(!vote(&mut m, 1, 2, 2, Ballot::Admit), "an older vote changes nothing");
        assert!(vote(&mut m, 1, 4, 2, Ballot::Admit));
        assert!(m.contains(&org(2)));
    }

    #[test]
    fn a_quarantined_members_votes_count_nothing_whenever_the_proof_arrives() {
        let votes = [(0, 1, 8), (1, 1, 8), (0, 2, 7), (2, 2, 7), (8, 1, 6), (2, 3, 6)];
        let after = |exposed_after: usize, rule: OnFork| {
            let mut m = membership();
            m.charter.on_fork = rule;
            for (n, (voter, position, about)) in votes.into_iter().enumerate() {
                if n == exposed_after {
                    m.expose(org(0));
                }
                vote(&mut m, voter, position, about, Ballot::Admit);
            }
            m.expose(org(0));
            m
        };
        for n in 0..votes.len() {
            let m = after(n, OnFork::Quarantine);
            assert_eq!(m.members(), [org(0), org(1), org(2)], "exposed after {n} votes");
            assert!(m.is_quarantined(&org(0)));
            assert_eq!(m.witness_quorum(), 1);
            assert_eq!(m.tally(&org(8)), (vec![org(1)], vec![org(0), org(2)]));
            let m = after(n, OnFork::Keep);
            assert_eq!(m.members(), [org(0), org(1), org(2), org(6), org(7), org(8)]);
        }
    }
}
