//! Statements that something here names and that are not here: those who are asked for decisions are asked for them (in a
//! large mesh not every member), and whoever asks waits, up to a bound, until what may be given is here.
//!
//! ```text
//! Locate -> Whereabouts to each -> chains, places, and whether they are open to this organisation
//!        -> the chains are fetched as always, from whoever has more of them -> Located
//! ```
//!
//! An answer is a hint like any other: what stands at a place is believed because it is under a head that was accepted by
//! proof. Whoever asks knows a statement's id, and so learns of one that is withheld no more than where it stands.

use std::collections::BTreeSet;

use counterfoil_protocol::ids::{HeadSeq, OrganisationId, StatementId, Timestamp};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::mesh::Audience;

use crate::effect::{ChannelId, Effect, GatherId};
use crate::engine::Engine;
use crate::evidence::{EvidenceSource, Question, Stage};
use crate::message::{Request, Response, Whereabout};
use crate::peer::{Exchange, Purpose};
use crate::replica::Replica;
use crate::time::Millis;

/// What a member said of the statements that are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Who was asked.
    pub organisation: OrganisationId,
    /// The answer.
    pub answer: LocatedAnswer,
}

/// How a member answered the question where statements stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocatedAnswer {
    /// It has these of them, and no others.
    Has(Vec<Whereabout>),
    /// It did not answer in time.
    Silent {
        /// When its chain was last confirmed.
        since: Option<Timestamp>,
    },
    /// Nobody of it was connected.
    Unreachable {
        /// When its chain was last confirmed.
        since: Option<Timestamp>,
    },
    /// It does not answer such questions.
    Refused,
}

impl Engine {
    /// Somebody looks for statements that are not here, and waits for `wait_ms` at most.
    pub(crate) fn locate(
        &mut self,
        now: Millis,
        gather: GatherId,
        statements: BTreeSet<StatementId>,
        wait_ms: u64,
    ) {
        let statements = statements.into_iter().take(self.config.about_max).collect();
        self.ask_members(now, gather, Question::Statements(statements), wait_ms);
    }

    /// A member looks for statements.
    pub(crate) fn whereabouts_asked(
        &mut self,
        now: Millis,
        channel: ChannelId,
        asker: OrganisationId,
        statements: Vec<StatementId>,
    ) {
        if statements.len() > self.config.about_max {
            let response = Response::Refused("that is too much".into());
            return self.outbox.push(Effect::Respond { channel, response });
        }
        let audience = Box::new(self.crossing.agreements.audience(asker, now.timestamp()));
        self.outbox.push(Effect::Locate { channel, statements, audience });
    }

    /// A member said which of them it has. Where it has more of their chains than there is here, it is asked for that.
    pub(crate) fn whereabouts_answered(
        &mut self,
        key: PublicKey,
        gather: GatherId,
        other: &OrganisationId,
        asked: &BTreeSet<StatementId>,
        places: Vec<Whereabout>,
    ) {
        let named: BTreeSet<StatementId> = places.iter().map(|place| place.statement).collect();
        if named.len() != places.len() || !named.is_subset(asked) {
            self.penalise(key, 20, "it said where statements stand that it was not asked for");
            return self.set_stage(gather, other, Stage::Refused);
        }
        let chains: BTreeSet<OrganisationId> =
            places.iter().filter(|place| self.is_to_come(place)).map(|place| place.organisation).collect();
        self.set_stage(gather, other, Stage::Located { places, chains });
    }

    /// Asks those who have more of a chain for it, where something stands that is looked for.
    pub(crate) fn fetch_located(&mut self, now: Millis, gather: GatherId) {
        for (other, chain) in self.located_chains(gather) {
            // One after the other: whoever comes next is asked only if that brought nothing.
            let is_asked = |exchange: &Exchange| exchange.purpose == Purpose::Latest(chain);
            if !self.targets.is_idle(&chain) || self.exchanges.values().any(is_asked) {
                continue;
            }
            let Some(here) = self.replicas.get(&chain) else { continue };
            let from = Some(here.size().next_position());
            let seq = HeadSeq(here.head().map_or(0, |head| head.seq().0.saturating_add(1)));
            let Some(key) = self.peer_of(&other) else { continue };
            let request = Request::Latest { organisation: chain, from, seq };
            if self.send(now, &key, Purpose::Latest(chain), request) {
                self.located_chain_asked(gather, &other, &chain);
            }
        }
    }

    /// What came of asking a member.
    pub(crate) fn located(&self, other: &OrganisationId, stage: &Stage) -> Located {
        let since = self.replicas.get(other).map(|replica| replica.seen.timestamp());
        let answer = match stage {
            Stage::Unreachable | Stage::Waiting => LocatedAnswer::Unreachable { since },
            Stage::Asked => LocatedAnswer::Silent { since },
            Stage::Refused | Stage::Answered(..) => LocatedAnswer::Refused,
            Stage::Located { places, .. } => LocatedAnswer::Has(places.clone()),
        };
        Located { organisation: *other, answer }
    }

    /// Whether something that is looked for stands where the chain has not come here, and may.
    pub(crate) fn is_to_come(&self, place: &Whereabout) -> bool {
        let chain = &place.organisation;
        let may_come = *chain != self.me && self.is_member(chain) && !self.is_paused(chain);
        may_come
            && self
                .replicas
                .get(chain)
                .is_some_and(|replica: &Replica| !replica.size().contains(place.position))
    }

    /// Whether there is nothing more to wait for about places that a member named.
    pub(crate) fn have_come(&self, places: &[Whereabout]) -> bool {
        places.iter().all(|place| {
            !(self.is_to_come(place) || place.open && self.crossing.is_searching(&place.organisation))
        })
    }
}

/// Which of these statements are here, where they stand, and whether the audience may read them.
pub fn whereabouts<S: EvidenceSource>(
    source: &S,
    statements: &[StatementId],
    audience: &Audience,
) -> Vec<Whereabout> {
    let statements: BTreeSet<StatementId> = statements.iter().copied().collect();
    let places = statements.iter().filter_map(|id| {
        let (organisation, position, statement) = source.find(id)?;
        Some(Whereabout { statement: *id, organisation, position, open: audience.may_read(&statement) })
    });
    places.collect()
}
