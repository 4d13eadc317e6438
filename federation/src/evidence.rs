//! Gathering for a decision: the other members are asked what in its own chain bears on the subjects, and a decision waits,
//! up to a bound, until that is here.
//!
//! ```text
//! Gather -> Reach -> Evidence to each -> its head and the places -> the chain is fetched as always -> Gathered
//! ```
//!
//! An answer is a hint like any other: it names places, and what stands there is believed because it is under a head that
//! was accepted by proof. Who cannot be asked is named with the time since when.

use std::collections::{BTreeMap, BTreeSet};

use counterfoil_protocol::admissibility::gather::relevant;
use counterfoil_protocol::admissibility::{Inquiry, InquiryAnswer};
use counterfoil_protocol::ids::{OrganisationId, Position, StatementId, TreeSize};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::limits::EVIDENCE_MAX;
use counterfoil_protocol::lineage::graph::EdgeSource;
use counterfoil_protocol::mesh::Audience;
use counterfoil_protocol::observation::Subject;
use counterfoil_protocol::statement::{Kind, Statement};

use crate::effect::{ChannelId, Effect, GatherId};
use crate::engine::{Engine, announcement};
use crate::message::{Bearing, Request, Response, Whereabout};
use crate::peer::Purpose;
use crate::replica::Replica;
use crate::sync::Told;
use crate::time::Millis;

/// What the members are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// What in their chains bears on these subjects.
    Evidence(Vec<Subject>),
    /// Which of these statements they have.
    Statements(BTreeSet<StatementId>),
}

/// How far it has come with one organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nobody of it is connected.
    Unreachable,
    /// It is still to be asked.
    Waiting,
    /// It was asked.
    Asked,
    /// It does not answer the question.
    Refused,
    /// It has a chain of this size, in which these places bear on the subjects.
    Answered(TreeSize, Vec<Position>),
    /// It has these of the statements that are looked for, and is still to be asked for these chains.
    Located { places: Vec<Whereabout>, chains: BTreeSet<OrganisationId> },
}

/// One organisation in one gathering.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ask {
    stage: Stage,
    /// Entries of its chain that were here when the gathering began.
    before: TreeSize,
}

/// One decision's gathering, or one lineage's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gathering {
    question: Question,
    pub(crate) until: Millis,
    asks: BTreeMap<OrganisationId, Ask>,
}

impl Engine {
    /// Somebody is about to decide about these subjects, and waits for `wait_ms` at most.
    pub(crate) fn gather(&mut self, now: Millis, gather: GatherId, about: Vec<Subject>, wait_ms: u64) {
        let about = about.into_iter().take(self.config.about_max).collect();
        self.ask_members(now, gather, Question::Evidence(about), wait_ms);
    }

    /// Asks those whose answer may count, and waits for `wait_ms` at most.
    pub(crate) fn ask_members(&mut self, now: Millis, gather: GatherId, question: Question, wait_ms: u64) {
        let mut asks = BTreeMap::new();
        for other in self.whom_to_ask() {
            let stage = if self.is_paused(&other) { Stage::Unreachable } else { Stage::Waiting };
            asks.insert(other, Ask { stage, before: self.size_of(&other) });
        }
        let is_full = self.gatherings.len() >= self.config.gatherings_max;
        let until = if is_full { now } else { now.plus(wait_ms) };
        if !is_full {
            let unpaused = asks.iter().filter(|(_, ask)| ask.stage == Stage::Waiting);
            let unpaused: Vec<OrganisationId> = unpaused.map(|(other, _)| *other).collect();
            self.reach(now, &unpaused);
        }
        self.gatherings.insert(gather, Gathering { question, until, asks });
    }

    fn size_of(&self, organisation: &OrganisationId) -> TreeSize {
        self.replicas.get(organisation).map_or(TreeSize(0), Replica::size)
    }

    /// Asks whom there is still to ask, and ends what is complete or over.
    pub(crate) fn gather_on(&mut self, now: Millis) {
        self.reaching.expire(now);
        let open: Vec<GatherId> = self.gatherings.keys().copied().collect();
        for gather in open {
            self.ask_for(now, gather);
            self.fetch_located(now, gather);
            let is_over = self.gatherings.get(&gather).is_some_and(|one| {
                one.until <= now || one.asks.iter().all(|(other, ask)| self.is_settled(other, ask))
            });
            if is_over && let Some(gathering) = self.gatherings.remove(&gather) {
                // What has come is on disk when whoever asked looks.
                let asks = gathering.asks.iter();
                self.outbox.after_writes(match gathering.question {
                    Question::Evidence(_) => {
                        let inquiries = asks.map(|(other, ask)| self.inquiry(other, ask)).collect();
                        Effect::Gathered { gather, inquiries }
                    }
                    Question::Statements(_) => {
                        let answers = asks.map(|(other, ask)| self.located(other, &ask.stage)).collect();
                        Effect::Located { gather, answers }
                    }
                });
            }
        }
    }

    fn ask_for(&mut self, now: Millis, gather: GatherId) {
        let Some(gathering) = self.gatherings.get(&gather) else { return };
        let waiting = gathering.asks.iter().filter(|(_, ask)| ask.stage == Stage::Waiting);
        let waiting: Vec<OrganisationId> = waiting.map(|(other, _)| *other).collect();
        for other in waiting {
            let Some(key) = self.peer_of(&other) else {
                if !self.may_be_reached(&other) && !self.is_reaching(&other) {
                    self.set_stage(gather, &other, Stage::Unreachable);
                }
                continue;
            };
            let Some(gathering) = self.gatherings.get(&gather) else { return };
            let request = match &gathering.question {
                Question::Evidence(about) => Request::Evidence { about: about.clone() },
                Question::Statements(ids) => {
                    Request::Whereabouts { statements: ids.iter().copied().collect() }
                }
            };
            if self.send(now, &key, Purpose::Evidence(gather, other), request) {
                self.set_stage(gather, &other, Stage::Asked);
            }
        }
    }

    /// Whether a peer is connected that speaks for an organisation, or may turn out to.
    pub(crate) fn may_be_reached(&self, organisation: &OrganisationId) -> bool {
        self.peers.values().any(|peer| match peer.organisation {
            Some(speaks_for) => speaks_for == *organisation,
            // Who is not listened to never says who it is.
            None => !self.is_of_paused(&peer.key),
        })
    }

    pub(crate) fn set_stage(&mut self, gather: GatherId, other: &OrganisationId, stage: Stage) {
        if let Some(ask) = self.gatherings.get_mut(&gather).and_then(|one| one.asks.get_mut(other)) {
            ask.stage = stage;
        }
    }

    /// Chains that members are still to be asked for, because something that is looked for stands there.
    pub(crate) fn located_chains(&self, gather: GatherId) -> Vec<(OrganisationId, OrganisationId)> {
        let asks = self.gatherings.get(&gather).into_iter().flat_map(|gathering| &gathering.asks);
        let chains = asks.flat_map(|(other, ask)| match &ask.stage {
            Stage::Located { places, chains } => {
                let open = chains.iter().filter(|chain| {
                    places.iter().any(|place| place.organisation == **chain && self.is_to_come(place))
                });
                open.map(|chain| (*other, *chain)).collect()
            }
            _ => Vec::new(),
        });
        chains.collect()
    }

    /// A member was asked for a chain.
    pub(crate) fn located_chain_asked(
        &mut self,
        gather: GatherId,
        other: &OrganisationId,
        chain: &OrganisationId,
    ) {
        let gathering = self.gatherings.get_mut(&gather);
        if let Some(Ask { stage: Stage::Located { chains, .. }, .. }) =
            gathering.and_then(|gathering| gathering.asks.get_mut(other))
        {
            chains.remove(chain);
        }
    }

    /// Whether there is nothing more to wait for.
    fn is_settled(&self, other: &OrganisationId, ask: &Ask) -> bool {
        match &ask.stage {
            Stage::Unreachable | Stage::Refused => true,
            Stage::Waiting | Stage::Asked => false,
            Stage::Answered(size, _) => self.size_of(other) >= *size && !self.crossing.is_searching(other),
            Stage::Located { places, .. } => self.have_come(places),
        }
    }

    fn inquiry(&self, other: &OrganisationId, ask: &Ask) -> Inquiry {
        let since = self.replicas.get(other).map(|replica| replica.seen.timestamp());
        let count = |places: usize| u32::try_from(places).unwrap_or(u32::MAX);
        let answer = match &ask.stage {
            Stage::Unreachable | Stage::Waiting => InquiryAnswer::Unreachable { since },
            Stage::Asked => InquiryAnswer::Silent { since },
            Stage::Refused | Stage::Located { .. } => InquiryAnswer::Refused,
            Stage::Answered(_, places) => {
                let here = self.size_of(other);
                let new = places.iter().filter(|place| !ask.before.contains(**place));
                InquiryAnswer::Answered {
                    named: count(places.len()),
                    came: count(new.clone().filter(|place| here.contains(**place)).count()),
                    missing: count(new.filter(|place| !here.contains(**place)).count()),
                }
            }
        };
        Inquiry { organisation: *other, answer }
    }

    /// A member asks what in the own chain bears on its subjects.
    pub(crate) fn evidence_asked(
        &mut self,
        now: Millis,
        channel: ChannelId,
        asker: OrganisationId,
        about: Vec<Subject>,
    ) {
        let own = self.replicas.get(&self.me).and_then(|own| announcement(own, false));
        let Some(own) = own.filter(|_| about.len() <= self.config.about_max) else {
            let response = Response::Refused("that is too much, or there is no head here yet".into());
            return self.outbox.push(Effect::Respond { channel, response });
        };
        let audience = Box::new(self.crossing.agreements.audience(asker, now.timestamp()));
        self.outbox.push(Effect::Find { channel, about, audience, head: Box::new(own) });
    }

    /// A member answered.
    pub(crate) fn evidence_answered(
        &mut self,
        now: Millis,
        key: PublicKey,
        gather: GatherId,
        other: &OrganisationId,
        response: Response,
    ) {
        let question = self.gatherings.get(&gather).map(|gathering| &gathering.question);
        let Bearing { head, mut places } = match (question, response) {
            (Some(Question::Evidence(_)), Response::Evidence(bearing)) => bearing,
            (Some(Question::Statements(asked)), Response::Whereabouts(places)) => {
                let asked = asked.clone();
                return self.whereabouts_answered(key, gather, other, &asked, places);
            }
            _ => return self.set_stage(gather, other, Stage::Refused),
        };
        places.truncate(EVIDENCE_MAX);
        // Its head is a hint like any other: what lies under it is fetched, and accepted by proof.
        if let Err(reason) = self.take_announcement(now, key, Told::Answer, &head) {
            return self.penalise(key, 20, reason);
        }
        let size = self.announced_size(other);
        self.set_stage(gather, other, Stage::Answered(size, places));
    }

    /// It did not answer.
    pub(crate) fn evidence_failed(&mut self, gather: GatherId, other: &OrganisationId) {
        self.set_stage(gather, other, Stage::Unreachable);
    }
}

/// What finding the places needs of a store.
pub trait EvidenceSource: EdgeSource {
    /// Where a statement stands, and the statement, where it is here.
    fn find(&self, id: &StatementId) -> Option<(OrganisationId, Position, Statement)>;
}

/// Places of a chain that bear on the subjects, themselves or over their lineage, and that the audience may read; in
/// order, as many as a decision weighs.
pub fn bearing<S: EvidenceSource>(
    source: &S,
    organisation: &OrganisationId,
    about: &[Subject],
    audience: &Audience,
) -> Vec<Position> {
    let relevant = relevant(about, source).unwrap_or_default();
    let is_evidence = |kind: Kind| matches!(kind, Kind::Observation | Kind::Link | Kind::Counterfoil);
    let places: BTreeSet<Position> = relevant
        .iter()
        .filter_map(|id| source.find(id))
        .filter(|(of, _, statement)| {
            of == organisation && is_evidence(statement.header().kind) && audience.may_read(statement)
        })
        .map(|(_, position, _)| position)
        .collect();
    places.into_iter().take(EVIDENCE_MAX).collect()
}
