//! What is for the parties of an agreement alone: who is given it, and how a party gets what was withheld from it before
//! the agreement came into force.
//!
//! ```text
//! in force -> Lacking (which entries are digests alone?) -> Reveal to their author -> checked against the digests -> disk
//! ```
//!
//! The author is asked, and asked again until it too knows that the agreement is in force; its answer is final then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::ids::{OrganisationId, Position, StatementId};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::mesh::{Agreements, Outside};
use counterfoil_protocol::statement::{Statement, Verified, Visibility};

use crate::effect::{ChannelId, Effect, Event, Write};
use crate::engine::Engine;
use crate::message::{Entry, Page, Request, Response, Revealed};
use crate::peer::Purpose;
use crate::replica::Extended;
use crate::time::Millis;

/// How far the search for one chain's withheld entries has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// The store is to say which entries are withheld.
    Wanted,
    /// It was asked.
    Looking,
    /// These are.
    Found(Vec<(Position, LeafDigest)>),
    /// Their author was asked.
    Asking(Vec<(Position, LeafDigest)>),
}

/// The search for one chain's withheld entries.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Search {
    from: Position,
    stage: Stage,
    /// Whether there is more to look for since the store was asked.
    again: bool,
    /// When the author may be asked next.
    ask_at: Millis,
}

impl Search {
    const fn new(from: Position) -> Self {
        Self { from, stage: Stage::Wanted, again: false, ask_at: Millis(0) }
    }
}

/// Agreements, and what is being fetched under them.
#[derive(Debug, Default)]
pub(crate) struct Crossing {
    pub(crate) agreements: Agreements,
    /// Whether a statement changed them since they were last looked at.
    is_changed: bool,
    next_change: Option<Millis>,
    /// Agreements in force with each other organisation, as last looked at.
    shared: BTreeSet<(OrganisationId, StatementId)>,
    searches: BTreeMap<OrganisationId, Search>,
}

impl Crossing {
    pub(crate) fn of<'a>(standing: impl IntoIterator<Item = &'a Verified>) -> Self {
        Self { agreements: Agreements::of(standing), is_changed: true, ..Self::default() }
    }

    pub(crate) fn take(&mut self, verified: &Verified) {
        self.is_changed |= self.agreements.take(verified);
    }

    /// How many organisations' withheld entries are looked for.
    pub(crate) fn searches(&self) -> usize {
        self.searches.len()
    }

    fn search(&mut self, organisation: OrganisationId, from: Position) {
        let search = self.searches.entry(organisation).or_insert(Search::new(from));
        if from < search.from {
            (search.from, search.stage) = (from, Stage::Wanted);
        }
        search.again = search.stage == Stage::Looking;
    }

    /// Whether something of this chain is still to be revealed, as far as is known.
    pub(crate) fn is_searching(&self, organisation: &OrganisationId) -> bool {
        self.searches.contains_key(organisation)
    }

    /// Takes the entries that are asked for from the search, if it is at that stage.
    fn asked(&mut self, organisation: &OrganisationId) -> Option<Vec<(Position, LeafDigest)>> {
        let search = self.searches.get_mut(organisation)?;
        match std::mem::replace(&mut search.stage, Stage::Wanted) {
            Stage::Asking(entries) => Some(entries),
            other => {
                search.stage = other;
                None
            }
        }
    }
}

impl Engine {
    /// Whether a statement may be appended as it limits its readers.
    pub(crate) fn check_crossing(&self, now: Millis, statement: &Statement) -> Result<(), Outside> {
        let Visibility::Parties(id) = statement.header().visibility else { return Ok(()) };
        let agreements = &self.crossing.agreements;
        let (agreement, _) = agreements.proposed(&id).ok_or(Outside::Unknown(id))?;
        match agreements.in_force(&id, now.timestamp()) {
            // Nobody is given it before; but it may be said already.
            Ok(_) | Err(Outside::NotAccepted(_) | Outside::NotYet(_)) => {}
            Err(outside) => return Err(outside),
        }
        if !agreement.has_party(&self.me) {
            return Err(Outside::NoParty(self.me));
        }
        agreement.covers(statement)?;
        let own = self.replicas.get(&self.me);
        let jurisdictions = own.map(|own| own.state().jurisdictions_of(&statement.header().key));
        agreement.covers_jurisdictions(jurisdictions.unwrap_or_default())
    }

    /// Whether a verified statement is one that its author may let come here.
    fn may_come(&self, now: Millis, verified: &Verified) -> bool {
        let (statement, author) = (verified.statement(), verified.organisation());
        let id = match statement.header().visibility {
            Visibility::Mesh => return true,
            _ if author == self.me => return true,
            Visibility::Private => return false,
            Visibility::Parties(id) => id,
        };
        let jurisdictions =
            self.replicas.get(&author).map(|author| author.state().jurisdictions_of(&statement.header().key));
        let agreement = self.crossing.agreements.between(&id, &[self.me, author], now.timestamp());
        agreement.is_ok_and(|agreement| {
            agreement.covers(statement).is_ok()
                && agreement.covers_jurisdictions(jurisdictions.unwrap_or_default()).is_ok()
        })
    }

    /// Keeps the digests alone of those statements that no agreement lets cross, whoever gives them.
    // INVARIANT(10): an agreement binds whoever receives as it binds whoever gives.
    pub(crate) fn keep_out(&self, now: Millis, extended: &mut Extended) {
        let stays = |verified: &Arc<Verified>| verified.kind().is_standing() || self.may_come(now, verified);
        if extended.verified.iter().all(stays) {
            return;
        }
        for write in &mut extended.writes {
            if let Write::Statement(verified) = write
                && !stays(verified)
            {
                let (organisation, position) = (verified.organisation(), verified.position());
                *write = Write::Withheld { organisation, position, digest: verified.leaf_digest() };
            }
        }
        extended.verified.retain(stays);
    }

    /// Looks for what may be fetched now that an agreement is in force, and goes on with it.
    pub(crate) fn reveal(&mut self, now: Millis) {
        if self.crossing.is_changed || self.crossing.next_change.is_some_and(|at| at <= now) {
            self.look_at_agreements(now);
        }
        let searches: Vec<OrganisationId> = self.crossing.searches.keys().copied().collect();
        for organisation in searches {
            self.search_on(now, organisation);
        }
    }

    fn look_at_agreements(&mut self, now: Millis) {
        let (me, at) = (self.me, now.timestamp());
        let audience = self.crossing.agreements.audience(me, at);
        let others = self.replicas.keys().filter(|other| **other != me);
        let shared: BTreeSet<(OrganisationId, StatementId)> = others
            .flat_map(|other| audience.shared_with(other).into_iter().map(move |id| (*other, id)))
            .collect();
        let new: Vec<OrganisationId> =
            shared.difference(&self.crossing.shared).map(|(other, _)| *other).collect();
        for other in new {
            self.crossing.search(other, Position(0));
        }
        self.crossing.searches.retain(|other, _| shared.iter().any(|(with, _)| with == other));
        self.crossing.shared = shared;
        self.crossing.is_changed = false;
        let next = self.crossing.agreements.next_change(at);
        self.crossing.next_change = next.map(|at| Millis(at.0.saturating_mul(1000)));
    }

    /// When an agreement begins or ends next.
    pub(crate) const fn next_agreement(&self) -> Option<Millis> {
        self.crossing.next_change
    }

    fn search_on(&mut self, now: Millis, organisation: OrganisationId) {
        let Some(search) = self.crossing.searches.get_mut(&organisation) else { return };
        match &search.stage {
            Stage::Wanted => {
                search.stage = Stage::Looking;
                let effect = Effect::Lacking { organisation, from: search.from, max: self.config.reveal_max };
                // What came as a digest alone is to be on disk when the store looks.
                self.outbox.after_writes(effect);
            }
            Stage::Found(entries) if search.ask_at <= now => {
                let entries = entries.clone();
                let positions = entries.iter().map(|(position, _)| *position).collect();
                let shared = self.crossing.shared.iter();
                let agreements =
                    shared.filter(|(other, _)| *other == organisation).map(|(_, id)| *id).take(64).collect();
                let Some(key) = self.peer_of(&organisation) else { return };
                let request = Request::Reveal { organisation, agreements, positions };
                if self.send(now, &key, Purpose::Reveal(organisation), request)
                    && let Some(search) = self.crossing.searches.get_mut(&organisation)
                {
                    search.stage = Stage::Asking(entries);
                }
            }
            Stage::Found(_) | Stage::Looking | Stage::Asking(_) => {}
        }
    }

    /// A connected peer that speaks for an organisation and has let this one in.
    pub(crate) fn peer_of(&self, organisation: &OrganisationId) -> Option<PublicKey> {
        let speaks = |peer: &&crate::peer::Peer| {
            peer.organisation == Some(*organisation) && peer.admitted_there && peer.has_room(&self.config)
        };
        self.peers.values().find(speaks).map(|peer| peer.key).filter(|key| self.admitted(key).is_some())
    }

    /// The store says which entries of a chain are digests alone.
    pub(crate) fn lacking(&mut self, organisation: &OrganisationId, entries: Vec<(Position, LeafDigest)>) {
        let Some(search) = self.crossing.searches.get_mut(organisation) else { return };
        if search.stage != Stage::Looking {
            return;
        }
        if entries.is_empty() && !std::mem::take(&mut search.again) {
            self.crossing.searches.remove(organisation);
        } else if entries.is_empty() {
            search.stage = Stage::Wanted;
        } else {
            search.stage = Stage::Found(entries);
        }
    }

    /// Entries came as digests alone. Where an agreement with their author is in force, somebody who was not allowed to
    /// give more gave them.
    pub(crate) fn note_withheld(&mut self, organisation: OrganisationId, page: &Page) {
        if !self.crossing.shared.iter().any(|(other, _)| *other == organisation) {
            return;
        }
        let withheld = page.entries.iter().position(|entry| matches!(entry, Entry::Withheld(_)));
        if let Some(first) = withheld {
            self.crossing.search(organisation, Position(page.from.0.saturating_add(first as u64)));
        }
    }

    /// A peer asks for what was withheld from it.
    pub(crate) fn reveal_asked(
        &mut self,
        now: Millis,
        channel: ChannelId,
        asker: OrganisationId,
        request: Request,
    ) {
        let Request::Reveal { organisation, agreements, positions } = request else { return };
        let parties = [asker, organisation];
        let at = now.timestamp();
        let outside = agreements
            .iter()
            .take(64)
            .find_map(|id| self.crossing.agreements.between(id, &parties, at).err());
        let is_here = self
            .replicas
            .get(&organisation)
            .is_some_and(|replica| positions.iter().all(|position| replica.size().contains(*position)));
        let refusal = match outside {
            Some(outside) => Some(outside.to_string()),
            None if positions.len() > self.config.reveal_max => Some("too many positions".to_owned()),
            None if !is_here => Some("that is not here".to_owned()),
            None => None,
        };
        self.outbox.push(match refusal {
            Some(reason) => Effect::Respond { channel, response: Response::Refused(reason) },
            None => {
                let audience = Box::new(self.crossing.agreements.audience(asker, at));
                Effect::Reveal { channel, organisation, positions, audience }
            }
        });
    }

    /// The author answered with what it may give.
    pub(crate) fn revealed(
        &mut self,
        now: Millis,
        key: PublicKey,
        organisation: OrganisationId,
        response: Response,
    ) {
        let Some(asked) = self.crossing.asked(&organisation) else { return };
        let Response::Revealed(Revealed { statements, next }) = response else {
            // It does not know of all acceptances yet.
            return self.ask_again(now, &organisation, asked);
        };
        let Some(replica) = self.replicas.get(&organisation) else { return };
        let given: BTreeMap<Position, _> =
            statements.into_iter().map(|p| (p.position, p.statement)).collect();
        let mut found = Vec::new();
        for (position, digest) in &asked {
            if let Some(bytes) = given.get(position) {
                found.push((*position, *digest, bytes.0.as_slice()));
            }
        }
        if found.len() != given.len() {
            return self.penalise(key, 20, "it revealed what was not asked for");
        }
        let verified: Vec<Verified> = match replica.reveal(&found) {
            Ok(verified) => verified.into_iter().filter(|one| self.may_come(now, one)).collect(),
            Err(error) => {
                self.penalise(key, 50, &format!("it revealed what does not stand there: {error}"));
                return self.ask_again(now.plus(60_000), &organisation, asked);
            }
        };
        let last = asked.last().map_or(Position(0), |(position, _)| *position);
        if let Some(search) = self.crossing.searches.get_mut(&organisation) {
            let through = next.filter(|next| *next > search.from && *next <= last);
            search.from = through.unwrap_or_else(|| last.size_with().next_position());
        }
        if verified.is_empty() {
            return;
        }
        let ticket = self.outbox.ticket();
        let writes = verified.iter().map(|one| Write::Revealed(Box::new(one.clone()))).collect();
        self.outbox.push(Effect::Persist { ticket, writes });
        for one in verified {
            self.outbox.say_after(ticket, Effect::Notify(Event::Accepted(Arc::new(one))));
        }
    }

    /// The author did not answer.
    pub(crate) fn reveal_failed(&mut self, organisation: &OrganisationId) {
        if let Some(asked) = self.crossing.asked(organisation) {
            self.ask_again(Millis(0), organisation, asked);
        }
    }

    /// Asks again after `since`, and a period of anti-entropy.
    fn ask_again(
        &mut self,
        since: Millis,
        organisation: &OrganisationId,
        asked: Vec<(Position, LeafDigest)>,
    ) {
        if let Some(search) = self.crossing.searches.get_mut(organisation) {
            search.ask_at = since.plus(self.config.anti_entropy_ms);
            search.stage = Stage::Found(asked);
        }
    }
}
