//! Who is a member, and under which terms, as the statements in the members' chains say: the admission log.
//!
//! Nobody keeps a list. Each organisation folds the votes that it has verified: starting from the charter's founders,
//! an organisation is a member when enough members vote for it, and new terms are in force when enough members say the
//! same. The order of arrival plays no part; votes of organisations that were never members count nothing.
//!
//! Where the charter says so, all votes of an organisation that has forked its chain count nothing either, earlier ones
//! too: different members may have seen different votes of it, and must come to the same membership.
//!
//! The same fold over the statements made until some second gives the membership of that time, so that a head which its
//! chain's witnesses of then had seen stays witnessed when others take their places.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::chain::cosignature::Cosignature;
use crate::ids::{MeshId, OrganisationId, Position, StatementId, Timestamp};
use crate::limits::VOTES_KEPT_MAX;
use crate::statement::{Payload, Verified};

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

    /// Members: the founders in the charter's order, then the admitted by id.
    pub fn members(&self) -> &[OrganisationId] {
        &self.members
    }

    /// Whether `organisation` is a member.
    pub fn contains(&self, organisation: &OrganisationId) -> bool {
        self.sorted.contains(organisation)
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
    votes: BTreeMap<OrganisationId, By<(Ballot, Option<StatementId>)>>,
    /// By version, then by the voter.
    amendments: BTreeMap<u64, By<Terms>>,
    departures: By<()>,
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
fn say<T>(said: &mut Said<T>, act: Act, what: T) -> bool {
    let place = said.partition_point(|(earlier, _)| earlier.position < act.position);
    if said.get(place).is_some_and(|(at, _)| at.position == act.position) {
        return false;
    }
    said.insert(place, (act, what));
    // What was said first is forgotten first: it counts for the time before the rest alone.
    if said.len() > VOTES_KEPT_MAX {
        said.remove(0);
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
            if witnesses.contains(&cosignature.witness) {
                counted.push(cosignature);
            }
            if quorum > 0 && counted.len() >= quorum {
                return Some(counted);
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
        if !say(self.departures.entry(author).or_default(), act, ()) {
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

    /// Members that have voted to admit `organisation`, and those that have not.
    pub fn tally(&self, organisation: &OrganisationId) -> (Vec<OrganisationId>, Vec<OrganisationId>) {
        let (votes, left) = (self.votes.get(organisation), self.left(organisation, None));
        self.members().iter().partition(|member| {
            let vote = votes.and_then(|votes| votes.get(member)).and_then(|said| last(said, None));
            !self.is_quarantined(member)
                && vote.is_some_and(|(_, (ballot, after))| admits(*ballot, *after, left))
        })
    }

    /// Organisations that have votes but are not members.
    pub fn candidates(&self) -> Vec<OrganisationId> {
        self.votes.keys().filter(|organisation| !self.contains(organisation)).copied().collect()
    }

    /// The statement by which an organisation left, if it did: votes that let it in again name it.
    pub fn departure(&self, organisation: &OrganisationId) -> Option<StatementId> {
        self.left(organisation, None)
    }

    /// Those that have left at some time; they may have been let in again since.
    pub fn departed(&self) -> impl Iterator<Item = &OrganisationId> {
        self.departures.keys()
    }

    fn left(&self, organisation: &OrganisationId, until: Option<Timestamp>) -> Option<StatementId> {
        let said = self.departures.get(organisation)?;
        last(said, until).map(|(act, ())| act.statement)
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

    /// Those of `admitted` who say `is_meant` about `organisation`, at last.
    fn count(
        &self,
        charter: &Charter,
        admitted: &BTreeSet<OrganisationId>,
        organisation: &OrganisationId,
        until: Option<Timestamp>,
        is_meant: impl Fn(Ballot, Option<StatementId>) -> bool,
    ) -> usize {
        let votes = self.votes.get(organisation).into_iter().flatten();
        let meant = votes.filter(|(voter, said)| {
            last(said, until).is_some_and(|(_, (ballot, after))| is_meant(*ballot, *after))
                && self.counts(charter, voter, admitted)
        });
        meant.count()
    }

    /// Admits round by round until nothing changes: adding a member only ever adds votes that count, so the result does
    /// not depend on the order.
    fn admitted(&self, charter: &Charter, until: Option<Timestamp>) -> BTreeSet<OrganisationId> {
        let mut admitted: BTreeSet<OrganisationId> = charter.members.iter().copied().collect();
        loop {
            let before = admitted.len();
            for candidate in self.votes.keys() {
                let admit = |ballot, _| ballot == Ballot::Admit;
                if !admitted.contains(candidate)
                    && self.count(charter, &admitted, candidate, until, admit) >= threshold(charter)
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
            let expel = |ballot, _| ballot == Ballot::Expel;
            let is_expelled =
                self.count(&charter, &admitted, organisation, until, expel) >= threshold(&charter);
            let left = self.left(organisation, until);
            let is_back = left.is_none() || {
                let again = |ballot, after| admits(ballot, after, left);
                self.count(&charter, &admitted, organisation, until, again) >= threshold(&charter)
            };
            !is_expelled && is_back
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

/// Whether a vote lets in an organisation that left last by the statement `left`, if it did.
fn admits(ballot: Ballot, after: Option<StatementId>, left: Option<StatementId>) -> bool {
    ballot == Ballot::Admit && (left.is_none() || after == left)
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn org(n: u8) -> OrganisationId {
        OrganisationId::from_bytes([n; 32])
    }

    fn statement(author: u8, position: u64) -> StatementId {
        StatementId::from_bytes([author.wrapping_mul(31).wrapping_add(position as u8); 32])
    }

    fn charter(on_fork: OnFork) -> Charter {
        let charter = Charter {
            name: "test".into(),
            members: vec![org(0), org(1), org(2)],
            admission_threshold: 2,
            witness_quorum: 2,
            freshness_s: 60,
            link_answer_s: 60,
            on_fork,
            amendment_threshold: None,
            witnesses: None,
        };
        assert_eq!(charter.check(), Ok(()));
        charter
    }

    fn membership() -> Membership {
        Membership::new(MeshId::from_bytes([9; 32]), charter(OnFork::Quarantine))
    }

    /// What the author says at its position, made that many seconds after 1000.
    fn act(author: u8, position: u64) -> Act {
        let (statement, time) = (statement(author, position), Timestamp(1000 + position));
        Act { position: Position(position), statement, time }
    }

    fn vote(m: &mut Membership, voter: u8, position: u64, about: u8, ballot: Ballot) -> bool {
        vote_after(m, voter, position, about, ballot, None)
    }

    fn vote_after(
        m: &mut Membership,
        voter: u8,
        position: u64,
        about: u8,
        ballot: Ballot,
        after: Option<StatementId>,
    ) -> bool {
        let admission = Admission { mesh: m.mesh(), organisation: org(about), ballot, after };
        m.vote(org(voter), act(voter, position), &admission)
    }

    fn amend(m: &mut Membership, voter: u8, position: u64, version: u64, terms: Terms) -> bool {
        let amendment = Amendment { mesh: m.mesh(), version, terms };
        m.amend(org(voter), act(voter, position), &amendment)
    }

    #[test]
    fn two_of_three_admit_and_one_does_not() {
        let mut m = membership();
        assert!(!vote(&mut m, 2, 1, 3, Ballot::Admit));
        assert_eq!(m.tally(&org(3)), (vec![org(2)], vec![org(0), org(1)]));
        assert_eq!(m.candidates(), [org(3)]);
        assert!(vote(&mut m, 1, 2, 3, Ballot::Admit));
        assert_eq!(m.members(), [org(0), org(1), org(2), org(3)]);
        assert_eq!(m.witness_quorum(&org(3)), 2);
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
    fn whoever_left_is_out_at_once_and_comes_back_by_votes_that_name_the_departure() {
        let mut m = membership();
        vote(&mut m, 0, 1, 3, Ballot::Admit);
        vote(&mut m, 1, 1, 3, Ballot::Admit);
        assert!(m.depart(org(3), act(3, 5)));
        assert!(!m.contains(&org(3)), "the votes of before do not keep it in");
        let left = m.departure(&org(3));
        assert_eq!(left, Some(statement(3, 5)));
        vote(&mut m, 0, 6, 3, Ballot::Admit);
        vote(&mut m, 1, 6, 3, Ballot::Admit);
        assert!(!m.contains(&org(3)), "votes that do not know of the departure count nothing");
        vote_after(&mut m, 0, 7, 3, Ballot::Admit, left);
        assert!(vote_after(&mut m, 1, 7, 3, Ballot::Admit, left));
        assert!(m.contains(&org(3)));
        assert!(m.depart(org(0), act(0, 9)), "a founder may leave too");
        assert_eq!(m.members(), [org(1), org(2), org(3)]);
    }

    #[test]
    fn new_terms_hold_when_enough_members_say_the_same() {
        let mut m = membership();
        let terms = Terms { witnesses: Some(1), witness_quorum: 1, ..m.charter().terms() };
        let other = Terms { freshness_s: 5, ..terms };
        assert!(!amend(&mut m, 0, 1, 1, terms));
        assert!(!amend(&mut m, 1, 1, 1, other));
        assert!(!amend(&mut m, 7, 1, 1, terms), "no member's word counts nothing");
        let votes: Vec<_> = m.proposals().into_iter().map(|one| (one.terms, one.votes)).collect();
        assert!(
            votes.contains(&(terms, vec![org(0)])) && votes.contains(&(other, vec![org(1)])),
            "{votes:?}"
        );
        assert!(amend(&mut m, 2, 1, 1, terms));
        assert_eq!((m.now().version(), m.charter().terms()), (1, terms));
        assert_eq!(m.now().electorate().witnesses(&org(0)).len(), 1);
        assert!(!amend(&mut m, 1, 2, 3, other), "version follows version");
        let unreachable = Terms { admission_threshold: 4, ..terms };
        for voter in 0..3 {
            assert!(!amend(&mut m, voter, 3, 2, unreachable), "three members cannot cast four votes");
        }
    }

    #[test]
    fn the_membership_of_a_time_is_what_had_been_said_by_then() {
        let mut m = membership();
        vote(&mut m, 0, 10, 3, Ballot::Admit);
        vote(&mut m, 1, 20, 3, Ballot::Admit);
        vote(&mut m, 0, 30, 2, Ballot::Expel);
        vote(&mut m, 1, 30, 2, Ballot::Expel);
        assert_eq!(m.at(Timestamp(1019)).members(), [org(0), org(1), org(2)]);
        assert_eq!(m.at(Timestamp(1020)).members(), [org(0), org(1), org(2), org(3)]);
        assert_eq!(m.at(Timestamp(1030)).members(), m.members());
        assert_eq!(m.members(), [org(0), org(1), org(3)]);
    }

    #[test]
    fn a_head_that_its_witnesses_of_then_had_seen_stays_witnessed() {
        let mut m = membership();
        let line = |witness: u8, time: u64| Cosignature {
            witness: org(witness),
            time: Timestamp(time),
            line: crate::chain::note::SignatureLine {
                name: String::new(),
                key_id: [0; 4],
                signature: Vec::new(),
            },
        };
        let seen = [line(1, 1005), line(2, 1007)];
        assert_eq!(m.witnessed(&org(0), &seen), Some(Timestamp(1007)));
        vote(&mut m, 0, 30, 2, Ballot::Expel);
        vote(&mut m, 1, 30, 2, Ballot::Expel);
        assert_eq!(m.witnessed(&org(0), &seen), Some(Timestamp(1007)));
        let later = [line(2, 1040), line(9, 1041)];
        assert_eq!(m.witnessed(&org(0), &later), None, "neither is a witness any more");
        assert_eq!(m.witnessed(&org(0), &[line(1, 1040)]), Some(Timestamp(1040)), "one other member is left");
    }

    #[test]
    fn a_quarantined_members_votes_count_nothing_whenever_the_proof_arrives() {
        let votes = [(0, 1, 8), (1, 1, 8), (0, 2, 7), (2, 2, 7), (8, 1, 6), (2, 3, 6)];
        let after = |exposed_after: usize, rule: OnFork| {
            let mut m = Membership::new(MeshId::from_bytes([9; 32]), charter(rule));
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
            assert_eq!(m.witness_quorum(&org(1)), 1);
            assert_eq!(m.tally(&org(8)), (vec![org(1)], vec![org(0), org(2)]));
            let m = after(n, OnFork::Keep);
            assert_eq!(m.members(), [org(0), org(1), org(2), org(6), org(7), org(8)]);
        }
    }

    proptest! {
        #[test]
        fn acts_in_any_order_give_the_same_era(
            acts in proptest::collection::vec((0u8..9, 0u64..12, 0u8..9, 0u8..4), 1..40),
            order in any::<u64>(),
        ) {
            let apply = |m: &mut Membership, &(author, position, about, what): &(u8, u64, u8, u8)| {
                // One statement at each position of a chain.
                let terms = Terms { freshness_s: 1 + u64::from(about % 2), ..m.founding.terms() };
                match what {
                    0 => vote(m, author, position, about, Ballot::Admit),
                    1 => vote(m, author, position, about, Ballot::Expel),
                    2 => amend(m, author, position, 1 + u64::from(about % 2), terms),
                    _ => m.depart(org(author), act(author, position)),
                };
            };
            let acts: BTreeMap<_, _> = acts.into_iter().map(|one| ((one.0, one.1), one)).collect();
            let acts: Vec<_> = acts.into_values().collect();
            let mut shuffled = acts.clone();
            shuffled.sort_by_key(|one| crate::digest::blake3(&[&order.to_be_bytes()[..], &[one.0, one.1 as u8]].concat()));
            let (mut one, mut other) = (membership(), membership());
            acts.iter().for_each(|act| apply(&mut one, act));
            shuffled.iter().for_each(|act| apply(&mut other, act));
            prop_assert_eq!(one.now(), other.now());
            prop_assert_eq!(one.now(), &one.era(None));
            for time in 1000..1013 {
                prop_assert_eq!(one.at(Timestamp(time)), other.at(Timestamp(time)));
            }
        }
    }
}
