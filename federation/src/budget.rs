//! What others may cost: token buckets in the time that the driver tells.

use crate::time::Millis;

/// How much, how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Most at once.
    pub burst: u32,
    /// So many more with each second.
    pub per_s: u32,
}

/// What is left of a budget, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    left: u64,
    at: Millis,
}

impl Bucket {
    /// A budget of which nothing is spent.
    pub const fn full(rate: Rate, now: Millis) -> Self {
        Self { left: rate.burst as u64 * 1000, at: now }
    }

    fn refill(&mut self, rate: Rate, now: Millis) {
        let more = now.since(self.at).saturating_mul(u64::from(rate.per_s));
        self.left = self.left.saturating_add(more).min(u64::from(rate.burst) * 1000);
        self.at = self.at.max(now);
    }

    /// Spends one. Returns whether there was one left.
    pub fn take(&mut self, rate: Rate, now: Millis) -> bool {
        self.refill(rate, now);
        let left = self.left.checked_sub(1000);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Whether nothing is spent.
    pub fn is_full(&mut self, rate: Rate, now: Millis) -> bool {
        self.refill(rate, now);
        self.left >= u64::from(rate.burst) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_time_pays() {
        let rate = Rate { burst: 3, per_s: 2 };
        let mut bucket = Bucket::full(rate, Millis(1000));
        let taken = (0..5).filter(|_| bucket.take(rate, Millis(1000))).count();
        assert_eq!(taken, 3);
        assert!(!bucket.take(rate, Millis(1400)));
        assert!(bucket.take(rate, Millis(1600)));
        assert!(!bucket.take(rate, Millis(900)), "a clock that went back pays nothing");
        assert!(!bucket.is_full(rate, Millis(2000)));
        assert!(bucket.is_full(rate, Millis(9000)));
    }
}
