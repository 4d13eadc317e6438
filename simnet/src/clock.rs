//! The clocks of hosts: beside the world's time, faster or slower, and stepped.

use counterfoil_federation::Millis;

/// When every world begins, in its own time.
pub const START: Millis = Millis(1_000_000);

/// One host's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    offset_ms: i64,
    drift_ppm: i64,
}

impl Clock {
    /// A clock that began `offset_ms` beside the world's time and gains `drift_ppm` microseconds a second.
    pub const fn new(offset_ms: i64, drift_ppm: i64) -> Self {
        Self { offset_ms, drift_ppm }
    }

    /// What it shows at `now` of the world.
    pub fn read(&self, now: Millis) -> Millis {
        let now = i64::try_from(now.0).unwrap_or(i64::MAX);
        let start = i64::try_from(START.0).unwrap_or(i64::MAX);
        let gained = now.saturating_sub(start).saturating_mul(self.drift_ppm) / 1_000_000;
        let shown = now.saturating_add(self.offset_ms).saturating_add(gained);
        Millis(u64::try_from(shown).unwrap_or_default())
    }

    /// Somebody sets it forwards or backwards.
    pub const fn step(&mut self, ms: i64) {
        self.offset_ms = self.offset_ms.saturating_add(ms);
    }

    /// It shows the world's time again, as a time server makes it.
    pub const fn correct(&mut self) {
        *self = Self { offset_ms: 0, drift_ppm: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_drifts_steps_and_is_corrected() {
        let mut clock = Clock::new(-500, 1_000);
        assert_eq!(clock.read(START), Millis(999_500));
        assert_eq!(clock.read(START.plus(10_000)), Millis(1_009_510));
        clock.step(2_000);
        assert_eq!(clock.read(START), Millis(1_001_500));
        clock.correct();
        assert_eq!(clock.read(START.plus(7)), START.plus(7));
    }
}
