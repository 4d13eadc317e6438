//! What decisions cost this node, part by part, since it started.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// A part of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Asking the other members.
    Asking,
    /// The state of each chain that may count.
    States,
    /// Finding, reading and verifying the evidence.
    Evidence,
    /// Weighing it, and the verdict with its explanation.
    Verdict,
    /// The decision's statement and the permit's: signed, appended, on disk and under a head.
    Recording,
}

impl Part {
    /// Every part, in the order in which they are done.
    pub const ALL: [Self; 5] = [Self::Asking, Self::States, Self::Evidence, Self::Verdict, Self::Recording];
}

/// Nanoseconds that were spent on each part.
#[derive(Debug, Default)]
pub struct Spent([AtomicU64; Part::ALL.len()]);

impl Spent {
    /// Does a part's work, and adds up how long it took.
    pub(super) fn on<T>(&self, part: Part, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = work();
        let nanos = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(sum) = self.0.get(part as usize) {
            sum.fetch_add(nanos, Ordering::Relaxed);
        }
        done
    }

    /// How long a part took, of all decisions together.
    pub fn of(&self, part: Part) -> Duration {
        Duration::from_nanos(self.0.get(part as usize).map_or(0, |sum| sum.load(Ordering::Relaxed)))
    }
}
