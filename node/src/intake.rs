//! Statements on their way to the engine: their signatures are checked on all cores, several at a time.
//!
//! Each signature is judged by itself. Those that wait at the same moment share what encoding a point costs, and reach
//! the engine in one message. What one caller submits stays in order: batches are numbered as they are taken, and the
//! engine's thread takes them by number.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use counterfoil_protocol::identity::OrganisationState;
use counterfoil_protocol::ids::KeyId;
use counterfoil_protocol::keys::{PreparedKey, SignatureInvalid};
use counterfoil_protocol::statement::{
    Authentic, EnvelopeError, Refusal, Signed, Statement, authenticate_all,
};

use crate::key_cache::KeyCache;
use crate::runtime::Answer;

/// Most statements that wait for their check; callers then wait in turn.
const WAITING_MAX: usize = 1024;
/// Most statements that one thread checks at a time.
const BATCH_MAX: usize = 32;

/// A statement and whom to answer.
type Submitted = (Statement, Answer);

#[allow(
    clippy::large_enum_variant,
    reason = "nearly all that waits is a statement; boxing each would cost more"
)]
enum Task {
    Check(Box<Submitted>),
    Stop,
}

/// Statements whose signatures are checked, and their place among such batches.
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) statements: Vec<(Authentic, Answer)>,
}

/// The queue, and the threads that empty it.
pub(crate) struct Intake {
    tasks: SyncSender<Task>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Intake {
    /// Starts a thread for each core. They end when nobody takes their batches any more, or when told to.
    pub(crate) fn start(
        signers: &Arc<RwLock<OrganisationState>>,
        deliver: impl Fn(Batch) -> bool + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (tasks, queue) = sync_channel(WAITING_MAX);
        let queue = Arc::new(Mutex::new(Queue { tasks: queue, next: 0 }));
        let keys = Arc::new(KeyCache::default());
        let threads = (0..cores)
            .map(|_| {
                let checker = Checker { signers: Arc::clone(signers), keys: Arc::clone(&keys) };
                let (queue, deliver) = (Arc::clone(&queue), deliver.clone());
                std::thread::Builder::new().name("signatures".into()).spawn(move || {
                    loop {
                        let (number, submitted, ends) = take(&queue);
                        let is_over = !submitted.is_empty() && !deliver(checker.check(number, submitted));
                        if ends || is_over {
                            return;
                        }
                    }
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { tasks, threads: Mutex::new(threads) })
    }

    /// Takes a statement in. Whether it did, that is, whether there will be an answer.
    pub(crate) fn submit(&self, statement: Statement, answer: Answer) -> bool {
        self.tasks.send(Task::Check(Box::new((statement, answer)))).is_ok()
    }

    /// Ends the threads, and waits for them.
    pub(crate) fn stop(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for _ in &threads {
            // Threads that have ended already take nothing.
            let _ = self.tasks.send(Task::Stop);
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread that checks signatures ended by a panic");
            }
        }
    }
}

struct Queue {
    tasks: Receiver<Task>,
    next: u64,
}

/// What waits, up to a batch of it, and whether the thread is to end after that.
fn take(queue: &Mutex<Queue>) -> (u64, Vec<Submitted>, bool) {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let mut batch = Vec::new();
    // Nobody can submit any more once the queue is closed.
    let mut task = Some(queue.tasks.recv().unwrap_or(Task::Stop));
    let mut ends = false;
    while let Some(next) = task {
        match next {
            Task::Check(submitted) => batch.push(*submitted),
            Task::Stop => ends = true,
        }
        if ends || batch.len() == BATCH_MAX {
            break;
        }
        task = queue.tasks.try_recv().ok();
    }
    let number = queue.next;
    if !batch.is_empty() {
        queue.next = number.wrapping_add(1);
    }
    (number, batch, ends)
}

struct Checker {
    signers: Arc<RwLock<OrganisationState>>,
    keys: Arc<KeyCache>,
}

impl Checker {
    /// Checks the signatures of a batch, and answers those that are wrong.
    fn check(&self, number: u64, submitted: Vec<Submitted>) -> Batch {
        let (statements, answers): (Vec<Statement>, Vec<Answer>) = submitted.into_iter().unzip();
        let signed = authenticate_all(statements, |key| self.prepared(key));
        let mut passed = Vec::with_capacity(answers.len());
        for (signed, answer) in signed.into_iter().zip(answers) {
            match signed {
                Signed::Checked(authentic) => passed.push((authentic, answer)),
                Signed::Unchecked(statement) => answer.refuse(Refusal::UnknownKey(statement.header().key)),
                Signed::Wrong(_) => {
                    answer.refuse(Refusal::Signature(EnvelopeError::Signature(SignatureInvalid)));
                }
            }
        }
        Batch { number, statements: passed }
    }

    fn prepared(&self, key: &KeyId) -> Option<Arc<PreparedKey>> {
        let state = self.signers.read().unwrap_or_else(PoisonError::into_inner);
        let key = *state.public_key(key)?;
        drop(state);
        // A key that is well-formed enough to be in force has tables.
        self.keys.prepared(&key).ok()
    }
}
