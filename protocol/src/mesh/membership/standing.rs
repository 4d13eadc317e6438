//! How one organisation comes in and goes: the votes about it, and its own departures.
//!
//! At each time at which something was said, the latest vote of each voter counts. Once enough of them admit it, it is in; once
//! enough put it out, or it leaves, it is out. What was decided stands until as many decide otherwise: one who changes its mind
//! undoes nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{OrganisationId, Position, StatementId, Timestamp};

use super::super::charter::Ballot;
use super::{Act, Said};

/// What is voted: when the organisation had left, only votes that name the departure let it in again.
pub(super) type Vote = (Ballot, Option<StatementId>);

/// Whether a vote lets in an organisation that left last by the statement `left`, if it did.
pub(super) fn admits((ballot, after): Vote, left: Option<StatementId>) -> bool {
    ballot == Ballot::Admit && (left.is_none() || after == left)
}

/// Somebody's latest words so far. Later is what stands later in the chain, whatever its author's clock says.
#[derive(Debug, Clone, Copy)]
struct Latest<T>(Option<(Position, T)>);

impl<T: Copy> Latest<T> {
    fn hear(&mut self, position: Position, what: T) {
        if self.0.is_none_or(|(at, _)| at < position) {
            self.0 = Some((position, what));
        }
    }

    fn get(&self) -> Option<T> {
        self.0.map(|(_, what)| what)
    }
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// What was said about one organisation, in the order of the times.
#[derive(Debug)]
pub(super) struct History(Vec<(Act, Word)>);

#[derive(Debug, Clone, Copy)]
enum Word {
    Vote(OrganisationId, Vote),
    Leave(StatementId),
}

/// What holds at one time.
#[derive(Debug, Default)]
struct Moment {
    votes: BTreeMap<OrganisationId, Latest<Vote>>,
    left: Latest<StatementId>,
}

impl Moment {
    fn count(&self, is_meant: impl Fn(Vote) -> bool) -> usize {
        self.votes.values().filter_map(Latest::get).filter(|vote| is_meant(*vote)).count()
    }
}

impl History {
    /// What voters whose votes count, and the organisation itself, had said by `until`; in all when that is none.
    pub(super) fn new<'a>(
        votes: impl Iterator<Item = (&'a OrganisationId, &'a Said<Vote>)>,
        departures: Option<&Said<StatementId>>,
        until: Option<Timestamp>,
    ) -> Self {
        let votes =
            votes.flat_map(|(voter, said)| said.iter().map(|(act, vote)| (*act, Word::Vote(*voter, *vote))));
        let departures = departures.into_iter().flatten().map(|(act, left)| (*act, Word::Leave(*left)));
        let all = votes.chain(departures);
        let mut said: Vec<_> = all.filter(|(act, _)| until.is_none_or(|until| act.time <= until)).collect();
        said.sort_by_key(|(act, _)| act.time);
        Self(said)
    }

    /// Shows what held at each time at which something was said.
    fn replay(&self, mut look: impl FnMut(&Moment)) {
        let mut moment = Moment::default();
        for at_once in self.0.chunk_by(|(one, _), (other, _)| one.time == other.time) {
            for (act, word) in at_once {
                match word {
                    Word::Vote(voter, vote) => {
                        moment.votes.entry(*voter).or_default().hear(act.position, *vote);
                    }
                    Word::Leave(left) => moment.left.hear(act.position, *left),
                }
            }
            look(&moment);
        }
    }

    /// How many vote for it, when nobody ever voted against it and it never left: then the times play no part.
    fn undisputed(&self) -> Option<usize> {
        let voters = self.0.iter().map(|(_, word)| match word {
            Word::Vote(voter, (Ballot::Admit, _)) => Some(voter),
            Word::Vote(_, (Ballot::Expel, _)) | Word::Leave(_) => None,
        });
        voters.collect::<Option<BTreeSet<_>>>().map(|voters| voters.len())
    }

    /// Whether so many admitted it at some time, whatever became of it since. More voters never make this false.
    pub(super) fn was_admitted(&self, enough: usize) -> bool {
        if let Some(voters) = self.undisputed() {
            return voters >= enough;
        }
        let mut was_admitted = false;
        self.replay(|moment| was_admitted |= moment.count(|vote| admits(vote, None)) >= enough);
        was_admitted
    }

    /// Whether it is in, at last, when so many decide; `is_in` is whether it was when nothing had been said.
    pub(super) fn is_in(&self, mut is_in: bool, enough: usize) -> bool {
        if let Some(voters) = self.undisputed() {
            return is_in || voters >= enough;
        }
        let mut before = None;
        self.replay(|moment| {
            let left = moment.left.get();
            let has_left = std::mem::replace(&mut before, left) != left;
            let expelled = moment.count(|(ballot, _)| ballot == Ballot::Expel) >= enough;
            let admitted = moment.count(|vote| admits(vote, left)) >= enough;
            is_in = !expelled && (admitted || is_in && !has_left);
        });
        is_in
    }
}
