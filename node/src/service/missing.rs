//! What a lineage names and is not here: the other members are asked for it, and the walk goes on from what came.
//!
//! Asked are statements by their ids, a bounded number of them in a bounded number of rounds and a bounded time. What comes
//! comes with its chain, under a head that was accepted by proof; an answer alone verifies nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use counterfoil_federation::whereabouts::{Located, LocatedAnswer};
use counterfoil_protocol::ids::{OrganisationId, StatementId, Timestamp};
use counterfoil_protocol::observation::SubjectKey;
use serde::{Deserialize, Serialize};

use super::{Node, ServiceError};
use crate::store::StoredEntry;

/// How often it is asked on for one lineage: what came may name more that is not here.
const ROUNDS_MAX: usize = 8;
/// Most statements that are asked for in one lineage.
const STATEMENTS_MAX: usize = 256;
/// Most members whose answers are listed beside one statement.
const ASKED_MAX: usize = 16;

/// What one member said of a statement that was not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedOf {
    /// Who was asked.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: String,
    /// The answer.
    pub answer: Saying,
    /// When its chain was last confirmed, where it was not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// How a member answered, what says most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Saying {
    /// It has it, and this node may read it.
    Has,
    /// It has it, and no agreement in force lets this node read it.
    Withholds,
    /// Exchange with it is paused here.
    Paused,
    /// Nobody of it is connected.
    Unreachable,
    /// It did not answer in time.
    Silent,
    /// It does not answer such questions.
    Refuses,
    /// It has no such statement.
    HasNot,
}

/// One question to all members, and their answers.
struct Round {
    asked: BTreeSet<StatementId>,
    answers: Vec<Located>,
}

/// What was asked for one lineage.
pub(super) struct Sought {
    until: Instant,
    rounds: Vec<Round>,
}

impl Sought {
    /// Nothing yet; nobody is waited for beyond `wait`.
    pub(super) fn within(wait: Duration) -> Self {
        Self { until: Instant::now() + wait, rounds: Vec::new() }
    }

    fn round_of(&self, id: &StatementId) -> Option<&Round> {
        self.rounds.iter().find(|round| round.asked.contains(id))
    }

    fn asked(&self) -> usize {
        self.rounds.iter().map(|round| round.asked.len()).sum()
    }
}

/// What is known of a statement that is not here.
pub(super) enum Lacking {
    /// Where it stands, and that this node may not read it.
    Withheld(String),
    /// Why it is missing.
    Missing(String),
}

impl Node {
    /// Asks for those of these statements that are not here and were not asked for yet. Returns whether any came.
    pub(super) fn look_for<'a>(
        &self,
        nodes: impl IntoIterator<Item = &'a SubjectKey>,
        sought: &mut Sought,
    ) -> Result<bool, ServiceError> {
        let left = sought.until.saturating_duration_since(Instant::now());
        if left.is_zero() || sought.rounds.len() >= ROUNDS_MAX {
            return Ok(false);
        }
        let most = STATEMENTS_MAX.saturating_sub(sought.asked());
        let mut asked = BTreeSet::new();
        for node in nodes {
            if let SubjectKey::Statement(id) = node
                && asked.len() < most
                && sought.round_of(id).is_none()
                && self.store().place(id)?.is_none()
            {
                asked.insert(*id);
            }
        }
        if asked.is_empty() {
            return Ok(false);
        }
        let wait_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let answers = self.runtime.locate(asked.clone(), wait_ms)?;
        let mut came = false;
        for id in &asked {
            came |= self.store().place(id)?.is_some();
        }
        sought.rounds.push(Round { asked, answers });
        Ok(came)
    }

    /// What the members said of a statement; with how many more answered than are listed.
    pub(super) fn asked_of(
        &self,
        id: &StatementId,
        sought: &Sought,
        names: &BTreeMap<OrganisationId, String>,
    ) -> Result<(Vec<AskedOf>, usize), ServiceError> {
        let mut said = Vec::new();
        for Located { organisation, answer } in sought.round_of(id).iter().flat_map(|round| &round.answers) {
            let (answer, since) = match answer {
                LocatedAnswer::Has(places) => match places.iter().find(|place| place.statement == *id) {
                    Some(place) if place.open => (Saying::Has, None),
                    Some(_) => (Saying::Withholds, None),
                    None => (Saying::HasNot, None),
                },
                LocatedAnswer::Silent { since } => (Saying::Silent, *since),
                LocatedAnswer::Unreachable { since } if self.is_paused(organisation)? => {
                    (Saying::Paused, *since)
                }
                LocatedAnswer::Unreachable { since } => (Saying::Unreachable, *since),
                LocatedAnswer::Refused => (Saying::Refuses, None),
            };
            let name = named(names, organisation);
            said.push(AskedOf { organisation: *organisation, name, answer, since });
        }
        said.sort_by_key(|one| one.answer);
        let more = said.len().saturating_sub(ASKED_MAX);
        said.truncate(ASKED_MAX);
        Ok((said, more))
    }

    fn is_paused(&self, organisation: &OrganisationId) -> Result<bool, ServiceError> {
        Ok(self.store().pause(organisation)?.is_some_and(|pause| pause.resumed.is_none()))
    }

    /// What is known of a statement that is not here.
    // INVARIANT(7): whatever anybody says of it, it stays withheld or missing until it is here.
    pub(super) fn lacking(
        &self,
        id: &StatementId,
        sought: &Sought,
        names: &BTreeMap<OrganisationId, String>,
    ) -> Result<Lacking, ServiceError> {
        let Some(round) = sought.round_of(id) else {
            return Ok(Lacking::Missing(format!("{id} is not here")));
        };
        for Located { organisation, answer } in &round.answers {
            let LocatedAnswer::Has(places) = answer else { continue };
            let Some(place) = places.iter().find(|place| place.statement == *id) else { continue };
            let says = named(names, organisation);
            let at = format!("position {} of {}", place.position, named(names, &place.organisation));
            match self.store().entry(&place.organisation, place.position)? {
                Some(StoredEntry::Withheld(_)) if !place.open => {
                    let text = format!(
                        "{id} stands at {at}, as {says} says, and no agreement in force lets this node read it"
                    );
                    return Ok(Lacking::Withheld(text));
                }
                // Another statement stands there: what was said is not so.
                Some(StoredEntry::Statement(_)) => {}
                Some(StoredEntry::Withheld(_)) | None => {
                    let mut text = format!("{id} stands at {at}, as {says} says, and has not come here");
                    if self.is_paused(&place.organisation)? {
                        text.push_str("; exchange is paused, and `sync resume` ends that");
                    }
                    return Ok(Lacking::Missing(text));
                }
            }
        }
        let (asked, more) = self.asked_of(id, sought, names)?;
        Ok(Lacking::Missing(format!("{id} is not here: {}", in_words(&asked, more))))
    }
}

fn named(names: &BTreeMap<OrganisationId, String>, organisation: &OrganisationId) -> String {
    names.get(organisation).cloned().unwrap_or_else(|| organisation.short())
}

/// Who was asked, and what came of it.
fn in_words(asked: &[AskedOf], more: usize) -> String {
    let mut by_answer: BTreeMap<Saying, Vec<String>> = BTreeMap::new();
    for one in asked {
        let since = one.since.map(|since| format!(" (last heard at {since})")).unwrap_or_default();
        by_answer.entry(one.answer).or_default().push(format!("{}{since}", one.name));
    }
    let mut parts: Vec<String> = by_answer
        .into_iter()
        .map(|(answer, who)| {
            let who = who.join(", ");
            match answer {
                Saying::Has | Saying::Withholds => {
                    format!("{who}: named a place where something else stands")
                }
                Saying::Paused => format!("exchange is paused with {who}"),
                Saying::Unreachable => format!("cannot be reached: {who}"),
                Saying::Silent => format!("did not answer in time: {who}"),
                Saying::Refuses => format!("does not answer such questions: {who}"),
                Saying::HasNot => format!("have no such statement: {who}"),
            }
        })
        .collect();
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    if parts.is_empty() { "there is no other member to ask".into() } else { parts.join("; ") }
}
