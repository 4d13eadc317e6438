//! The own chain: group commit, head lock, replies.
//!
//! ```text
//! stage ... stage -> Persist -> (durable) -> sign -> LockHead -> (locked) -> reply and announce
//! ```
//!
//! One commit is under way at a time; what arrives meanwhile waits for the next. A head that was signed but not locked
//! never leaves this module, so a crash between the two leaves nothing that anybody has seen.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use counterfoil_protocol::chain::{CompactRange, HeadDraft, SignedHead};
use counterfoil_protocol::identity::StandingDigest;
use counterfoil_protocol::ids::{HeadSeq, StatementId};
use counterfoil_protocol::keys::Signer;
use counterfoil_protocol::statement::{Authentic, Refusal, Verified, verify};

use crate::config::Config;
use crate::effect::{AppendError, AppendId, Appended, Effect, Write};
use crate::outbox::{Outbox, Ticket};
use crate::replica::Replica;
use crate::time::Millis;

/// Where the sequencer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// No commit is under way.
    Idle,
    /// Statements are being written.
    Writing(Ticket),
    /// The head is being locked.
    Locking(Ticket, SignedHead),
    /// The node does not sign, and why.
    Frozen {
        reason: String,
        /// Whether it signs again once its chain has caught up.
        until_caught_up: bool,
    },
}

/// A statement on its way into the chain.
#[derive(Debug)]
struct Staged {
    append: AppendId,
    verified: Arc<Verified>,
    /// The chain as it is with this statement as its last.
    after: Covered,
}

/// The writer of the own chain.
// INVARIANT(1): an honest organisation never signs two heads with one sequence number: a head leaves this module only
// after the head lock took it in place of its predecessor.
#[derive(Debug)]
pub struct Sequencer {
    phase: Phase,
    waiting: VecDeque<Staged>,
    /// Statements on their way into the chain, until they are on disk and under a head.
    under_way: BTreeSet<StatementId>,
    committing: Vec<Staged>,
    /// Whether statements lie on disk that no head covers yet.
    uncovered: bool,
    /// A head that is in the head lock and goes to disk with the next commit.
    head: Option<SignedHead>,
    /// The tree under the latest head of this run.
    covered: Option<CompactRange>,
}

/// What a finished commit brought.
#[derive(Debug)]
pub struct Committed {
    /// The new head.
    pub head: SignedHead,
    /// The statements under it that are new.
    pub statements: Vec<Arc<Verified>>,
    /// The tree before them, where they are all that is new.
    pub before: Option<CompactRange>,
}

impl Sequencer {
    /// A sequencer that may sign at once; `uncovered` when the disk has statements that no head covers.
    pub fn new(uncovered: bool) -> Self {
        Self {
            phase: Phase::Idle,
            waiting: VecDeque::new(),
            under_way: BTreeSet::new(),
            committing: Vec::new(),
            uncovered,
            head: None,
            covered: None,
        }
    }

    /// Stops signing until [`Self::thaw`]. Whoever waits is told.
    pub fn hold(&mut self, reason: &str, outbox: &mut Outbox) {
        self.freeze(reason, outbox);
        self.phase = Phase::Frozen { reason: reason.to_owned(), until_caught_up: true };
    }

    /// Stops signing for good. Whoever waits is told.
    pub fn freeze(&mut self, reason: &str, outbox: &mut Outbox) {
        self.phase = Phase::Frozen { reason: reason.to_owned(), until_caught_up: false };
        self.under_way.clear();
        let waiting = self.committing.drain(..).chain(self.waiting.drain(..));
        for staged in waiting {
            let outcome = Err(AppendError::Frozen(reason.to_owned()));
            outbox.push(Effect::Reply { append: staged.append, outcome });
        }
    }

    /// Signs again, if nothing but the missing end of the chain kept it from that. Returns whether it does.
    pub fn thaw(&mut self) -> bool {
        let thaws = matches!(self.phase, Phase::Frozen { until_caught_up: true, .. });
        if thaws {
            self.phase = Phase::Idle;
        }
        thaws
    }

    /// Why the node does not sign, if it does not.
    pub fn frozen(&self) -> Option<&str> {
        match &self.phase {
            Phase::Frozen { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// Takes a statement in if it passes every check, and starts a commit if none is under way.
    pub fn append(
        &mut self,
        own: &mut Replica,
        append: AppendId,
        statement: Authentic,
        config: &Config,
        outbox: &mut Outbox,
    ) {
        if let Err(error) = self.stage(own, append, statement, config) {
            outbox.push(Effect::Reply { append, outcome: Err(error) });
        }
    }

    fn stage(
        &mut self,
        own: &mut Replica,
        append: AppendId,
        statement: Authentic,
        config: &Config,
    ) -> Result<(), AppendError> {
        if let Phase::Frozen { reason, .. } = &self.phase {
            return Err(AppendError::Frozen(reason.clone()));
        }
        if self.waiting.len() >= config.pending_max {
            return Err(AppendError::Busy(self.waiting.len()));
        }
        let id = statement.statement().id();
        if self.under_way.contains(&id) {
            return Err(AppendError::Duplicate(id));
        }
        let verified = Arc::new(verify(own.state(), statement)?);
        if verified.payload().recovery().is_some() {
            let text =
                "a node that signs needs no recovery; `root recover` writes one for a node that does not";
            return Err(Refusal::Identity(text.into()).into());
        }
        own.append(&verified)?;
        self.under_way.insert(id);
        let after = Covered::of(own);
        self.waiting.push_back(Staged { append, verified, after });
        Ok(())
    }

    /// Starts a commit if none is under way and something waits for one.
    pub fn start(
        &mut self,
        own: &Replica,
        now: Millis,
        config: &Config,
        outbox: &mut Outbox,
        key: &dyn Signer,
    ) {
        if self.phase != Phase::Idle {
            return;
        }
        if self.waiting.is_empty() {
            if self.uncovered {
                self.sign(own, now, outbox, key);
            }
            return;
        }
        let mut bytes = 0;
        while self.committing.len() < config.commit_statements_max && bytes < config.commit_bytes_max {
            let Some(staged) = self.waiting.pop_front() else { break };
            bytes += staged.verified.bytes().len();
            self.committing.push(staged);
        }
        let statements = self.committing.iter().map(|staged| &staged.verified);
        let mut writes: Vec<Write> = self.head.take().map(Write::Head).into_iter().collect();
        writes.extend(statements.map(|verified| Write::Statement(verified.clone())));
        if let Some(last) = self.committing.last() {
            writes.push(Write::Tree { organisation: own.organisation(), range: last.after.range.clone() });
        }
        let ticket = outbox.ticket();
        outbox.push(Effect::Persist { ticket, writes });
        self.phase = Phase::Writing(ticket);
    }

    /// Takes note that a write is durable: if it was the commit's, signs and asks for the lock.
    pub fn durable(
        &mut self,
        ticket: Ticket,
        own: &Replica,
        now: Millis,
        outbox: &mut Outbox,
        key: &dyn Signer,
    ) {
        if self.phase == Phase::Writing(ticket) {
            self.sign(own, now, outbox, key);
        }
    }

    /// Signs a head over what is on disk: the replica may be further already, by what waits for the next commit.
    fn sign(&mut self, own: &Replica, now: Millis, outbox: &mut Outbox, key: &dyn Signer) {
        let covered = self.committing.last().map_or_else(|| Covered::of(own), |staged| staged.after.clone());
        let previous = own.head();
        let draft = HeadDraft {
            organisation: own.organisation(),
            seq: previous.map_or(HeadSeq(0), |head| HeadSeq(head.seq().0.saturating_add(1))),
            previous: previous.map(SignedHead::hash),
            size: covered.range.size(),
            root: covered.range.root(),
            standing: covered.standing,
            issued_at: now.timestamp(),
        };
        match draft.sign(key) {
            Ok(head) => {
                let ticket = outbox.ticket();
                let previous = draft.previous;
                outbox.push(Effect::LockHead { ticket, previous, head: head.clone() });
                self.phase = Phase::Locking(ticket, head);
            }
            Err(error) => self.freeze(&error.to_string(), outbox),
        }
    }

    /// Takes note of what became of the lock.
    pub fn locked(&mut self, ticket: Ticket, own: &mut Replica, outbox: &mut Outbox) -> Option<Committed> {
        let Phase::Locking(expected, head) = &self.phase else { return None };
        if *expected != ticket {
            return None;
        }
        let head = head.clone();
        self.phase = Phase::Idle;
        self.uncovered = false;
        own.set_head(head.clone());
        let statements: Vec<Staged> = self.committing.drain(..).collect();
        let before = self.covered.take();
        self.covered = statements.last().map(|staged| staged.after.range.clone());
        for staged in &statements {
            self.under_way.remove(&staged.verified.id());
            let appended = Appended {
                statement: staged.verified.id(),
                position: staged.verified.position(),
                head: head.clone(),
            };
            outbox.push(Effect::Reply { append: staged.append, outcome: Ok(Box::new(appended)) });
        }
        let statements = statements.into_iter().map(|staged| staged.verified).collect();
        Some(Committed { head, statements, before })
    }

    /// Writes down a head that is in the head lock: with the next commit if one is about to begin, which saves a sync, else
    /// by itself. Until then the lock alone has it, and a start puts it in its place from there.
    pub fn keep_head(&mut self, head: SignedHead, outbox: &mut Outbox) {
        if self.waiting.is_empty() {
            let ticket = outbox.ticket();
            outbox.push(Effect::Persist { ticket, writes: vec![Write::Head(head)] });
        } else {
            self.head = Some(head);
        }
    }

    /// Statements that are in memory but not yet under a head.
    pub fn pending(&self) -> usize {
        self.waiting.len() + self.committing.len()
    }
}

/// A chain up to some point: its tree and its standing digest.
#[derive(Debug, Clone)]
struct Covered {
    range: CompactRange,
    standing: StandingDigest,
}

impl Covered {
    fn of(replica: &Replica) -> Self {
        Self { range: replica.range().clone(), standing: replica.state().standing_digest() }
    }
}
