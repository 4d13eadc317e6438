//! What lies under heads: fetched by pull from whoever told of a head, page by page, accepted by proof.
//!
//! A head under which not everything is here yet, or of which there was but a notice, is a target. Those who told of it are asked in turn; who
//! does not have it yet is asked again a little later, since gossip passes a head on before its entries are there. What was
//! accepted stays, so that whoever is asked next goes on from there, after a lost connection as after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_protocol::chain::SignedHead;
use counterfoil_protocol::identity::Succession;
use counterfoil_protocol::ids::{HeadHash, HeadSeq, OrganisationId};
use counterfoil_protocol::keys::PublicKey;
use counterfoil_protocol::limits::NOTE_SIGNATURES_MAX;

use crate::effect::{Effect, Event, Write};
use crate::engine::{Engine, announcement};
use crate::message::{Announcement, Hint, Page, Request, Topic};
use crate::peer::{Peer, Purpose};
use crate::replica::Replica;
use crate::sync::Origin;
use crate::time::Millis;

/// Most peers that are remembered as having what is looked for.
const SOURCES_MAX: usize = 4;
/// Refusals by those who told of a head, until it is given up.
const ATTEMPTS_MAX: u32 = 10;
/// Milliseconds for which gossip may still bring what a comparison of heads has brought already.
const TELL_AFTER_MS: u64 = 400;
/// Targets that are looked at in one go.
const DUE_MAX: usize = 256;
/// Targets without a free peer, after which no more are looked at until a request ends.
const BUSY_MAX: usize = 16;

/// A head under which not everything is here yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    /// The head; none while there was but a notice of it.
    head: Option<SignedHead>,
    /// Number and hash of a head of which there was a notice, until whoever told of it has answered.
    notice: Option<(HeadSeq, HeadHash)>,
    /// Signature lines of witnesses that came with the head.
    lines: Vec<String>,
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
    fn has(&self, hash: HeadHash) -> bool {
        self.head.as_ref().is_some_and(|head| head.hash() == hash)
    }

    fn add_source(&mut self, source: Option<PublicKey>) {
        if let Some(source) = source
            && !self.sources.contains(&source)
            && self.sources.len() < SOURCES_MAX
        {
            self.sources.push(source);
        }
    }

    /// The highest number of a head that was told of.
    fn seq(&self) -> Option<HeadSeq> {
        self.head.as_ref().map(SignedHead::seq).max(self.notice.map(|(seq, _)| seq))
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
        self.all.get(organisation)?.head.as_ref()
    }

    /// Number and hash of the head of which there was a notice and no answer yet.
    pub(crate) fn notice(&self, organisation: &OrganisationId) -> Option<(HeadSeq, HeadHash)> {
        self.all.get(organisation)?.notice
    }

    /// Whether a head of this number or a later one is on its way here, from somebody else than `asker`.
    pub(crate) fn is_coming(&self, organisation: &OrganisationId, seq: HeadSeq, asker: &PublicKey) -> bool {
        let Some(target) = self.all.get(organisation).filter(|target| target.seq() >= Some(seq)) else {
            return false;
        };
        match &target.fetching {
            Some(from) => from != asker,
            None => target.sources.iter().any(|source| source != asker),
        }
    }

    /// The organisations of which something is looked for, each with the highest number of a head that was told of.
    pub(crate) fn seqs(&self) -> impl Iterator<Item = (&OrganisationId, Option<HeadSeq>)> {
        self.all.iter().map(|(organisation, target)| (organisation, target.seq()))
    }

    /// The highest number of a head that was told of and is not here.
    pub(crate) fn seq(&self, organisation: &OrganisationId) -> Option<HeadSeq> {
        self.all.get(organisation)?.seq()
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
        let target = self.all.entry(organisation).or_default();
        if !target.has(head.hash()) {
            if target.notice.is_none_or(|(seq, hash)| seq <= head.seq() && hash != head.hash()) {
                (target.attempts, target.notice) = (0, None);
                target.sources.clear();
            }
            (target.head, target.tell) = (Some(head), false);
            target.lines.clear();
        }
        target.tell |= tell;
        target.succession = origin.succession.or_else(|| target.succession.take());
        if let Some(source) = origin.source {
            // It has the head, as it says: it is asked next.
            target.sources.retain(|known| *known != source);
            target.sources.insert(0, source);
            target.sources.truncate(SOURCES_MAX);
            target.attempts = 0;
        }
        self.ask_next(&organisation, now);
    }

    /// Looks for a head of which there was a notice, with its witnesses' signatures.
    pub(crate) fn want_noticed(
        &mut self,
        organisation: &OrganisationId,
        notice: (HeadSeq, HeadHash),
        source: PublicKey,
        now: Millis,
    ) {
        let target = self.all.entry(*organisation).or_default();
        if target.notice.is_some_and(|(seq, _)| seq > notice.0) {
            return;
        }
        if target.notice != Some(notice) {
            target.attempts = 0;
            if !target.has(notice.1) {
                target.sources.clear();
            }
        }
        target.notice = Some(notice);
        target.add_source(Some(source));
        self.ask_next(organisation, now);
    }

    /// Somebody has what is looked for: it is asked now, unless another is being asked whose turn is not over yet.
    fn ask_next(&mut self, organisation: &OrganisationId, now: Millis) {
        let is_waiting = |target: &Target| target.fetching.is_some() && target.due.is_some();
        if !self.all.get(organisation).is_some_and(is_waiting) {
            self.schedule(organisation, Some(now));
        }
    }

    /// Asks once more for a head of which there was a notice.
    pub(crate) fn ask_again(&mut self, organisation: &OrganisationId, now: Millis) {
        if self.notice(organisation).is_some() {
            self.schedule(organisation, Some(now));
        }
    }

    /// Whoever told of a head has answered with one of this number.
    pub(crate) fn notice_answered(&mut self, organisation: &OrganisationId, seq: HeadSeq) {
        if let Some(target) = self.all.get_mut(organisation) {
            target.notice = target.notice.filter(|(wanted, _)| *wanted > seq);
        }
    }

    /// Keeps signature lines that came with a head that is looked for.
    pub(crate) fn keep_lines(&mut self, organisation: &OrganisationId, hash: HeadHash, lines: &[String]) {
        let target = self.all.get_mut(organisation).filter(|target| target.has(hash));
        if let Some(target) = target.filter(|target| target.lines.len() < lines.len()) {
            target.lines = lines.iter().take(NOTE_SIGNATURES_MAX).cloned().collect();
        }
    }

    /// The head is here. What is left of the target is its notice, while that has no answer yet.
    fn reached(&mut self, organisation: &OrganisationId, hash: HeadHash) -> Option<Target> {
        let target = self.all.get_mut(organisation).filter(|target| target.has(hash))?;
        if target.notice.is_some() {
            let kept = Target {
                notice: target.notice,
                fetching: target.fetching,
                due: target.due,
                ..Target::default()
            };
            let kept = Target { sources: target.sources.clone(), ..kept };
            return Some(std::mem::replace(target, kept));
        }
        self.remove(organisation)
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

    /// Who is being asked for a target, whose turn is over when somebody else is to be asked.
    fn hedge(&mut self, organisation: &OrganisationId) -> Option<PublicKey> {
        let target = self.all.get_mut(organisation)?;
        let asked = target.fetching?;
        target.attempts = target.attempts.saturating_add(1);
        Some(asked)
    }

    /// Whoever was asked has answered.
    pub(crate) fn fetched(&mut self, organisation: &OrganisationId) {
        if let Some(target) = self.all.get_mut(organisation) {
            target.fetching = None;
            self.schedule(organisation, None);
        }
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
            if self.has_noticed(&organisation) {
                self.targets.remove(&organisation);
                continue;
            }
            let asked = self.targets.hedge(&organisation);
            match self.pick(&organisation, asked) {
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
        let Some(replica) = self.replicas.get(organisation) else { return };
        let from = replica.size().next_position();
        let is_here = |hash| replica.head().is_some_and(|head| head.hash() == hash);
        let organisation_id = *organisation;
        let (purpose, request) = match (self.targets.notice(organisation), self.targets.head(organisation)) {
            (Some((seq, hash)), _) => {
                let from = Some(from).filter(|_| !is_here(hash));
                let request = Request::Latest { organisation: organisation_id, from, seq };
                (Purpose::Latest(organisation_id), request)
            }
            (None, Some(head)) => {
                let request = Request::Entries { organisation: organisation_id, from, size: head.size() };
                (Purpose::Entries(head.clone()), request)
            }
            (None, None) => return drop(self.targets.remove(organisation)),
        };
        if self.send(now, &key, purpose, request) {
            self.targets.schedule(organisation, Some(now.plus(self.config.hedge_ms)));
            self.keep_fetching(organisation, key);
        }
    }

    /// Whether all that a target is after has come in another way.
    fn has_noticed(&self, organisation: &OrganisationId) -> bool {
        let here = self.replicas.get(organisation);
        let head = here.filter(|replica| replica.witnessed).and_then(Replica::head).map(SignedHead::seq);
        head.is_some_and(|head| {
            self.targets.all.get(organisation).is_some_and(|target| target.seq() <= Some(head))
        })
    }

    /// Those who told of it in turn, then its own organisation's peer; everybody else, who will have heard of it too, once
    /// one of these has failed or where none of them can be asked. Not whoever is being asked already; and the quarantined,
    /// who are told nothing, last.
    fn pick(&self, organisation: &OrganisationId, asked: Option<PublicKey>) -> Pick {
        let Some(target) = self.targets.all.get(organisation) else { return Pick::Nobody };
        let own = self.peers.values().find(|peer| peer.organisation == Some(*organisation));
        let mut candidates: Vec<PublicKey> = target.sources.clone();
        candidates.extend(own.map(|peer| peer.key).filter(|own| !target.sources.contains(own)));
        if target.attempts > 0 || !candidates.iter().any(|key| self.answers(key).is_some()) {
            let others = self.peers.values().map(|peer| peer.key);
            let others: Vec<PublicKey> = others.filter(|key| !candidates.contains(key)).collect();
            candidates.extend(others);
        }
        candidates.retain(|key| Some(*key) != asked);
        let count = candidates.len().max(1);
        candidates.rotate_left(usize::try_from(target.attempts).unwrap_or_default() % count);
        candidates.sort_by_key(|key| {
            self.admitted(key).is_none_or(|organisation| self.has_misbehaved(&organisation))
        });
        let mut pick = Pick::Nobody;
        for key in candidates {
            match self.answers(&key) {
                Some(peer) if peer.has_room(&self.config) => return Pick::Ask(key),
                Some(_) => pick = Pick::Busy,
                None => {}
            }
        }
        pick
    }

    /// A connected peer that has let this node in, and is a member's.
    fn answers(&self, key: &PublicKey) -> Option<&Peer> {
        self.peers.get(key.as_bytes()).filter(|peer| peer.admitted_there && self.admitted(key).is_some())
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
        // There are others to ask; only when many have failed it pays to wait.
        let wait = self.config.retry_ms << (target.attempts / 4).min(3);
        self.targets.schedule(organisation, Some(now.plus(wait)));
    }

    /// Asks for what is still missing, after whoever told of a head has answered.
    pub(crate) fn go_on_fetching(&mut self, now: Millis, organisation: &OrganisationId) {
        let is_reached = self.has_noticed(organisation);
        let Some(target) = self.targets.all.get(organisation) else { return };
        match (&target.notice, &target.head) {
            _ if target.fetching.is_some() => {}
            (None, None) => drop(self.targets.remove(organisation)),
            (Some(_), _) if is_reached => drop(self.targets.remove(organisation)),
            (Some(_), _) if target.due.is_some() => {}
            (Some(_), _) => self.stop_fetching(now, organisation),
            (None, Some(_)) => self.targets.schedule(organisation, Some(now)),
        }
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
        self.targets.fetched(&organisation);
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
        let is_first = replica.head().is_none() && organisation != self.me;
        let mut extended = match replica.extend(head, page, &checked) {
            Ok(extended) => extended,
            Err(error) => {
                self.page_refused(now, key, head, &error);
                return false;
            }
        };
        self.told_latest(now, &key, organisation, head.seq());
        for verified in &extended.verified {
            self.take_standing(verified);
            self.crossing.take(verified);
        }
        self.keep_out(now, &mut extended);
        self.note_withheld(organisation, page);
        let ticket = self.outbox.ticket();
        let mut writes = extended.writes;
        let (mut cosignature, mut tell) = (None, false);
        if extended.complete {
            self.touch(&organisation);
            let target = self.targets.reached(&organisation, head.hash()).unwrap_or_default();
            tell = is_first || target.tell && target.notice.is_none();
            self.take_cosignatures(organisation, target.lines.iter().map(String::as_str));
            if organisation == self.me {
                self.caught_up();
            } else {
                cosignature = self.cosign(now, head);
            }
            if let Some(replica) =
                self.replicas.get(&organisation).filter(|one| !one.cosignatures().is_empty())
            {
                let lines = replica.lines();
                writes.push(Write::Cosignatures { organisation, size: head.size(), lines });
            }
        }
        self.outbox.push(Effect::Persist { ticket, writes });
        for verified in extended.verified {
            self.outbox.say_after(ticket, Effect::Notify(Event::Accepted(verified)));
        }
        if tell {
            // Nobody who knows nothing of a chain passes on what is said of it.
            let wait = if is_first { 0 } else { TELL_AFTER_MS };
            self.untold.insert(organisation, (now.plus(wait), head.hash()));
        }
        if let Some(line) = cosignature {
            self.hand_over(now, &organisation, head.size(), &line, ticket);
        }
        if extended.complete {
            self.release(now, &organisation);
        }
        true
    }

    /// Tells neighbours of heads that came by comparison, where no gossip followed: it has not reached this part of the mesh.
    pub(crate) fn tell_untold(&mut self, now: Millis) {
        let due = self.untold.iter().filter(|(_, (at, _))| *at <= now);
        let due: Vec<(OrganisationId, HeadHash)> =
            due.map(|(organisation, (_, hash))| (*organisation, *hash)).collect();
        for (organisation, hash) in due {
            self.untold.remove(&organisation);
            self.tell_of(&organisation, hash);
        }
    }

    fn tell_of(&mut self, organisation: &OrganisationId, hash: HeadHash) {
        let replica = self.replicas.get(organisation);
        let is_latest = |replica: &&Replica| replica.head().is_some_and(|head| head.hash() == hash);
        let told = replica.filter(is_latest).and_then(|replica| announcement(replica, false));
        // Without signatures it is one and the same message, whoever sends it.
        let told = told.map(|told| Hint::Head(Box::new(Announcement { cosignatures: Vec::new(), ..told })));
        if let Some(Ok(bytes)) = told.map(|told| crate::message::encode(&told)) {
            self.outbox.after_writes(Effect::Gossip { topic: Topic::Heads, bytes: bytes.into() });
        }
    }
}
