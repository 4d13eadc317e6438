//! Asks the C2SP witnesses of the configuration about each new checkpoint, one after the other.
//!
//! A witness may take its time, so this has a thread of its own, apart from the agent's. One that fails is asked again
//! later, and ever later while it keeps failing; the others do not wait for it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use counterfoil_protocol::ids::TreeSize;

use super::{Blame, Node, ServiceError, covered};

/// How often the end of the node is looked for.
const TICK: Duration = Duration::from_millis(200);
/// How often a new checkpoint is looked for, and how long a witness that failed once is left alone.
const PERIOD: Duration = Duration::from_secs(2);
/// How long a witness that fails again and again is left alone.
const PERIOD_MAX: Duration = Duration::from_secs(300);

/// Starts the thread, if there are witnesses to ask.
///
/// # Errors
/// [`ServiceError`].
pub(super) fn start(node: Arc<Node>) -> Result<Option<JoinHandle<()>>, ServiceError> {
    let known: Vec<Witness> = node.config().witnesses.iter().cloned().map(Witness::new).collect();
    if known.is_empty() {
        return Ok(None);
    }
    std::thread::Builder::new()
        .name("witnesses".into())
        .spawn(move || run(&node, known))
        .map(Some)
        .map_err(|error| ServiceError::new(Blame::Node, "thread", error.to_string()))
}

struct Witness {
    address: String,
    /// Size of the checkpoint that it cosigned last.
    cosigned: Option<TreeSize>,
    /// How often it has failed since.
    failures: u32,
    ask_at: Instant,
}

impl Witness {
    fn new(address: String) -> Self {
        Self { address, cosigned: None, failures: 0, ask_at: Instant::now() }
    }

    fn wait(&mut self) {
        let factor = 1u32.checked_shl(self.failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.ask_at = Instant::now() + PERIOD.saturating_mul(factor).min(PERIOD_MAX);
    }

    fn ask(&mut self, node: &Node) {
        match node.ask_witness(&self.address) {
            Ok(cosigned) => {
                self.cosigned = cosigned.iter().map(|one| one.size).max();
                self.failures = 0;
            }
            Err(error) => {
                // Said once, not as long as it lasts.
                if self.failures == 0 {
                    tracing::warn!(check = error.check, "{error}; it is asked again later");
                }
                self.failures = self.failures.saturating_add(1);
            }
        }
        self.wait();
    }
}

fn run(node: &Node, mut witnesses: Vec<Witness>) {
    while !node.is_stopping() {
        let now = Instant::now();
        if witnesses.iter().any(|witness| witness.ask_at <= now)
            && let Ok(view) = node.view()
        {
            let size = covered(&view, &node.organisation());
            for witness in witnesses.iter_mut().filter(|witness| witness.ask_at <= now) {
                if size.0 > 0 && witness.cosigned.is_none_or(|cosigned| cosigned < size) {
                    witness.ask(node);
                } else {
                    witness.wait();
                }
                if node.is_stopping() {
                    return;
                }
            }
        }
        std::thread::park_timeout(TICK);
    }
}
