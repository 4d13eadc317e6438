//! What lies under heads: fetched by pull from whoever told of a head, page by page, accepted by proof.
//!
//! A head that is known but under which not everything is here yet is a target. Those who told of it are asked in turn; who
//! does not have it yet is asked again a little later, since gossip passes a head on before its entries are there. What was
//! accepted stays, so that whoever is asked next goes on from there, after a lost connection as after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::identity::Succession;
use counterfoil_protocol::ids::OrganisationId;
use counterfoil_protocol::keys::PublicKey;

use crate::effect::{Effect, Event};
use crate::engine::{Engine, announcement};
use crate::message::{Page, Request, Topic};
use crate::peer::Purpose;
use crate::sync::Origin;
use crate::time::Millis;

/// Most peers that are remembered as having what is looked for.
const SOURCES_MAX: usize = 4;
/// Refusals by those who told of a head, until it is given up.
const ATTEMPTS_MAX: u32 = 10;
/// Targets that are looked at in one go.
const DUE_MAX: usize = 256;
/// Targets without a free peer, after which no more are looked at until a request ends.
const BUSY_MAX: usize = 16;

/// A head under which not everything is here yet.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) head: SignedHead,
    /// Who has it, as far as is known.
    sources: Vec<PublicKey>,
    /// Who is being asked.
    fetching: Option<PublicKey>,
    /// Refusals so far.
    attempts: u32,
    /// When to ask next, unless somebody is being asked.
    due: Option<Millis>,
    /// What leads to its chain key, where that is not known here yet.
    succession: Option<Arc<Succession>>,
    /// Whether neighbours may not have heard of it: it came by comparison, not by gossip.
    tell: bool,
}

impl Target {
    fn new(head: SignedHead) -> Self {
        let (sources, succession) = (Vec::new(), None);
        Self { head, sources, fetching: None, attempts: 0, due: None, succession, tell: false }
    }
}

/// What is being looked for, by organisation.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    all: BTreeMap<OrganisationId, Target>,
    due: BTreeSet<(Millis, OrganisationId)>,
    /// Whether those that are due found no free peer: then the end of a request is what to wait for.
    stalled: bool,
}

impl Targets {
    pub(crate) fn head(&self, organisation: &OrganisationId) -> Option<&SignedHead> {
        self.all.get(organisation).map(|target| &target.head)
    }

    /// What leads to the chain key of the head that is looked for, where it is not known here yet.
    pub(crate) fn succession(&self, organisation: &OrganisationId) -> Option<Arc<Succession>> {
        self.all.get(organisation)?.succession.clone()
    }

    /// Whether nobody is being asked for a chain.
    pub(crate) fn is_idle(&self, organisation: &OrganisationId) -> bool {
        self.all.get(organisation).is_none_or(|target| target.fetching.is_none())
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// When the next target wants somebody to be asked.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.due.first().map(|(at, _)| *at).filter(|_| !self.stalled)
    }

    /// Looks for a head from now on, in place of an older one.
    pub(crate) fn want(&mut self, head: SignedHead, origin: Origin, now: Millis, tell: bool) {
        let organisation = head.organisation();
        let target = self.all.entry(organisation).or_insert_with(|| Target::new(head.clone()));
        if target.head.hash() != head.hash() {
            (target.head, target.attempts, target.tell) = (head, 0, false);
            target.sources.clear();
        }
        target.tell |= tell;
        target.succession = origin.succession.or_else(|| target.succession.take());
        if let Some(source) = origin.source
            && !target.sources.contains(&source)
            && target.sources.len() < SOURCES_MAX
        {
            target.sources.push(source);
        }
        if target.fetching.is_none() {
            self.schedule(&organisation, Some(now));
        }
    }

    fn schedule(&mut self, organisation: &OrganisationId, at: Option<Millis>) {
        let Some(target) = self.all.get_mut(organisation) else { return };
        if let Some(due) = target.due.take() {
            self.due.remove(&(due, *organisation));
        }
        target.due = at;
        if let Some(at) = at {
            self.due.insert((at, *organisation));
        }
    }

    pub(crate) fn remove(&mut self, organisation: &OrganisationId) -> Option<Target> {
        self.schedule(organisation, None);
        self.all.remove(organisation)
    }

    /// A request has ended, or somebody has come: what found nobody free may now.
    pub(crate) const fn retry(&mut self) {
        self.stalled = false;
    }
}

/// Whom to ask for a target.
enum Pick {
    Ask(PublicKey),
    /// All who have it are busy.
    Busy,
    /// Nobody here has it.
    Nobody,
}

impl Engine {
    /// Asks for entries under each target that is due.
    pub(crate) fn fetch(&mut self, now: Millis) {
        if self.targets.stalled {
            return;
        }
        let due: Vec<OrganisationId> = self
            .targets
            .due
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(DUE_MAX)
            .map(|(_, organisation)| *organisation)
            .collect();
        let mut busy = 0;
        for organisation in due {
            match self.pick(&organisation) {
                Pick::Ask(key) => self.ask_entries(now, &organisation, key),
                Pick::Busy => busy += 1,
                // Somebody will tell of it again.
                Pick::Nobody => self.targets.schedule(&organisation, None),
            }
            if busy == BUSY_MAX {
                break;
            }
        }
        self.targets.stalled = busy > 0;
    }

    fn ask_entries(&mut self, now: Millis, organisation: &OrganisationId, key: PublicKey) {
        let from = self.replicas.get(organisation).map(|replica| replica.size().next_position());
        let head = self.targets.head(organisation).cloned();
        let Some((from, head)) = from.zip(head) else { return };
        let request = Request::Entries { organisation: *organisation, from, size: head.size() };
        if self.send(now, &key, Purpose::Entries(head), request) {
            self.targets.schedule(organisation, None);
            self.keep_fetching(organisation, key);
        }
    }

    /// Those who told of it in turn, then its own organisation's peer.
    fn pick(&self, organisation: &OrganisationId) -> Pick {
        let Some(target) = self.targets.all.get(organisation) else { return Pick::Nobody };
        let own = self.peers.values().find(|peer| peer.organisation == Some(*organisation));
        let mut candidates: Vec<PublicKey> = target.sources.clone();
        candidates.extend(own.map(|peer| peer.key).filter(|own| !target.sources.contains(own)));
        let count = candidates.len().max(1);
        candidates.rotate_left(usize::try_from(target.attempts).unwrap_or_default() % count);
        let mut pick = Pick::Nobody;
        for key in candidates {
            let Some(peer) = self.peers.get(key.as_bytes()) else { continue };
            if !peer.admitted_there || self.admitted(&key).is_none() {
                continue;
            }
            if peer.has_room(&self.config) {
                return Pick::Ask(key);
            }
            pick = Pick::Busy;
        }
        pick
    }

    pub(crate) fn keep_fetching(&mut self, organisation: &OrganisationId, key: PublicKey) {
        if let Some(target) = self.targets.all.get_mut(organisation) {
            target.fetching = Some(key);
        }
    }

    /// Whoever was asked did not give it: somebody else is asked, or the same one later.
    pub(crate) fn stop_fetching(&mut self, now: Millis, organisation: &OrganisationId) {
        let Some(target) = self.targets.all.get_mut(organisation) else { return };
        target.fetching = None;
        target.attempts = target.attempts.saturating_add(1);
        if target.attempts >= ATTEMPTS_MAX {
            return self.forget_target(organisation);
        }
        let wait = self.config.retry_ms << (target.attempts - 1).min(5);
        self.targets.schedule(organisation, Some(now.plus(wait)));
    }

    /// Gives a head up until somebody tells of it again.
    pub(crate) fn forget_target(&mut self, organisation: &OrganisationId) {
        if *organisation == self.me {
            // Nothing may be signed before it is here.
            if let Some(target) = self.targets.all.get_mut(organisation) {
                (target.fetching, target.attempts) = (None, 0);
                target.sources.clear();
            }
        } else {
            self.targets.remove(organisation);
        }
        self.compare_anew();
    }

    /// A peer answered with entries.
    pub(crate) fn entries_answered(&mut self, now: Millis, key: PublicKey, head: &SignedHead, page: &Page) {
        let organisation = head.organisation();
        if let Some(target) = self.targets.all.get_mut(&organisation) {
            target.fetching = None;
        }
        if self.has_misbehaved(&organisation) {
            return;
        }
        let Some(replica) = self.replicas.get(&organisation) else { return };
        if page.from == replica.size().next_position() {
            self.take_page(now, key, head, page);
        }
        // What is still missing is asked for from where the chain is now.
        self.targets.schedule(&organisation, Some(now));
    }

    /// Takes in a page under a head, and does what follows from it. Returns whether it fitted.
    pub(crate) fn take_page(&mut self, now: Millis, key: PublicKey, head: &SignedHead, page: &Page) -> bool {
        let organisation = head.organisation();
        let checked = self.checked.clone();
        let Some(replica) = self.replicas.get_mut(&organisation) else { return false };
        let extended = match replica.extend(head, page, &checked) {
            Ok(extended) => extended,
            Err(error) => {
                self.page_refused(now, key, head, &error);
                return false;
            }
        };
        replica.seen = replica.seen.max(now);
        for verified in &extended.verified {
            self.take_standing(verified);
            self.crossing.take(verified);
        }
        self.note_withheld(organisation, page);
        let ticket = self.outbox.ticket();
        let mut writes = extended.writes;
        let (mut cosignature, mut tell) = (None, false);
        if extended.complete {
            self.touch(&organisation);
            if self.targets.head(&organisation).is_some_and(|target| target.hash() == head.hash()) {
                tell = self.targets.remove(&organisation).is_some_and(|target| target.tell);
            }
            if organisation == self.me {
                self.caught_up();
            } else {
                cosignature = self.cosign(now, head, &mut writes);
            }
        }
        self.outbox.push(Effect::Persist { ticket, writes });
        for verified in extended.verified {
            self.outbox.say_after(ticket, Effect::Notify(Event::Accepted(verified)));
        }
        if tell {
            self.tell_of(&organisation, ticket);
        }
        if let Some(line) = cosignature {
            self.hand_over(now, &organisation, head.size(), &line);
        }
        true
    }

    /// Tells neighbours of a head that came by comparison: gossip has not brought it to this part of the mesh.
    fn tell_of(&mut self, organisation: &OrganisationId, ticket: crate::outbox::Ticket) {
        let announcement = self.replicas.get(organisation).and_then(|replica| announcement(replica, false));
        if let Some(Ok(bytes)) = announcement.map(|announcement| crate::message::encode(&announcement)) {
            self.outbox.say_after(ticket, Effect::Gossip { topic: Topic::Heads, bytes: bytes.into() });
        }
    }
}
