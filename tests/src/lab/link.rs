//! What becomes of a packet on its way: a link's condition, and a seeded generator of fates.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

/// Longest that a packet waits for a link that is too slow for what is sent; what comes then is dropped.
const QUEUE: Duration = Duration::from_millis(500);

/// How a link treats packets in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Condition {
    /// How long a packet is under way at least.
    pub delay: Duration,
    /// How much longer at most: packets overtake each other.
    pub jitter: Duration,
    /// Packets in a million that are lost.
    pub loss_ppm: u32,
    /// Packets in a million that arrive twice.
    pub duplicate_ppm: u32,
    /// Bytes that pass in a second; as many as come where nothing is said.
    pub bytes_per_s: Option<u64>,
    /// Whether nothing passes.
    pub is_cut: bool,
}

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) condition: Condition,
    fates: ChaCha8Rng,
    free_at: Option<Instant>,
}

impl Link {
    /// A link whose fates follow from the seed and from who sends to whom.
    pub(super) fn new(seed: u64, from: usize, to: usize) -> Self {
        let stream = ((from as u64) << 32) | to as u64;
        let mut fates = ChaCha8Rng::seed_from_u64(seed);
        fates.set_stream(stream);
        Self { condition: Condition::default(), fates, free_at: None }
    }

    fn happens(&mut self, ppm: u32) -> bool {
        // Drawn whatever the condition is, so that a packet's fate does not depend on what was lost before.
        self.fates.random_range(0..1_000_000) < ppm
    }

    /// When a packet of so many bytes that is sent at `now` arrives: never, once, or twice.
    pub(super) fn arrivals(&mut self, now: Instant, bytes: usize) -> Vec<Instant> {
        let condition = self.condition;
        let is_lost = self.happens(condition.loss_ppm);
        let is_doubled = self.happens(condition.duplicate_ppm);
        let jitter = condition.jitter.mul_f64(f64::from(self.fates.random_range(0..=1000_u32)) / 1000.0);
        if is_lost || condition.is_cut {
            return Vec::new();
        }
        let mut leaves = now;
        if let Some(rate) = condition.bytes_per_s {
            let begins = self.free_at.map_or(now, |free| free.max(now));
            if begins.duration_since(now) > QUEUE {
                return Vec::new();
            }
            let micros = (bytes as u64).saturating_mul(1_000_000) / rate.max(1);
            leaves = begins + Duration::from_micros(micros);
            self.free_at = Some(leaves);
        }
        let arrives = leaves + condition.delay + jitter;
        if is_doubled { vec![arrives, arrives + condition.jitter] } else { vec![arrives] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(seed: u64, from: usize, condition: Condition) -> Vec<usize> {
        let (mut link, now) = (Link::new(seed, from, 2), Instant::now());
        link.condition = condition;
        (0..2000).map(|_| link.arrivals(now, 100).len()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_fates_again_and_another_link_has_others() {
        let condition = Condition { loss_ppm: 100_000, duplicate_ppm: 100_000, ..Condition::default() };
        let some = fates(7, 1, condition);
        assert_eq!(some, fates(7, 1, condition));
        assert_ne!(some, fates(8, 1, condition));
        assert_ne!(some, fates(7, 3, condition));
        let count = |n: usize| some.iter().filter(|arrivals| **arrivals == n).count();
        assert!((100..300).contains(&count(0)) && (100..300).contains(&count(2)), "{some:?}");
    }

    #[test]
    fn what_is_cut_passes_nothing_and_what_is_slow_makes_packets_wait_and_then_drops_them() {
        assert_eq!(fates(7, 1, Condition { is_cut: true, ..Condition::default() }), [0; 2000]);
        let (mut link, now) = (Link::new(7, 1, 2), Instant::now());
        link.condition =
            Condition { bytes_per_s: Some(1000), delay: Duration::from_secs(1), ..Condition::default() };
        let arrivals: Vec<_> = (0..10).map(|_| link.arrivals(now, 100)).collect();
        assert_eq!(arrivals[0], [now + Duration::from_millis(1100)]);
        assert_eq!(arrivals[5], [now + Duration::from_millis(1600)]);
        assert!(arrivals[7..].iter().all(Vec::is_empty), "half a second of queue is full");
    }
}
