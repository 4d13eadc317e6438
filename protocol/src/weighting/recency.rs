//! Recency: half of the weight is lost with each half-life, in exact integer arithmetic.

use super::vector::Ppm;

/// Bits behind the point of the fixed-point numbers here.
const POINT: u32 = 62;
/// Fixed-point one.
const ONE: u128 = 1 << POINT;
/// Bits of the fraction of a half-life that are taken into account.
const FRACTION_BITS: usize = 60;
/// `2^(-1/2)`, `2^(-1/4)`, ...: each the square root of the one before.
const FACTORS: [u128; FRACTION_BITS] = factors();

#[allow(clippy::indexing_slicing, reason = "computed when this crate is compiled")]
const fn factors() -> [u128; FRACTION_BITS] {
    let mut factors = [ONE; FRACTION_BITS];
    let mut factor = ONE / 2;
    let mut index = 0;
    while index < FRACTION_BITS {
        factor = (factor << POINT).isqrt();
        factors[index] = factor;
        index += 1;
    }
    factors
}

/// `2^(-age / half_life)` in parts per million, rounded down.
///
/// Exact at whole half-lives. In between the value before rounding is off by less than `2^-54`: the fraction is cut to
/// 60 bits, and each of the 60 factors is rounded down in the 62nd. So the result is the exact one, but where that
/// comes closer than a ten thousand millionth to the next part per million. A half-life of zero means that only what
/// is of this very second has any weight.
pub fn half_life(age_s: u64, half_life_s: u64) -> Ppm {
    if age_s == 0 {
        return Ppm::FULL;
    }
    if half_life_s == 0 {
        return Ppm::ZERO;
    }
    let whole = age_s / half_life_s;
    if whole > 20 {
        return Ppm::ZERO;
    }
    let fraction = (u128::from(age_s % half_life_s) << FRACTION_BITS) / u128::from(half_life_s);
    let value = FACTORS
        .iter()
        .zip((0..FRACTION_BITS).rev())
        .filter(|(_, bit)| fraction >> bit & 1 == 1)
        .fold(ONE, |value, (factor, _)| (value * factor) >> POINT);
    let parts = ((1_000_000 * value) >> POINT) >> whole;
    Ppm::new(u32::try_from(parts).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_half_lives_halve_exactly() {
        for (age, expected) in [(0, 1_000_000), (100, 500_000), (200, 250_000), (600, 15_625), (100 * 30, 0)]
        {
            assert_eq!(half_life(age, 100).get(), expected, "age {age}");
        }
        assert_eq!(half_life(1, 0), Ppm::ZERO);
        assert_eq!(half_life(50, 100).get(), 707_106);
    }

    proptest! {
        #[test]
        fn older_is_never_weightier(age in 0u64..10_000_000, more in 0u64..10_000_000, half in 1u64..50_000_000) {
            prop_assert!(half_life(age + more, half) <= half_life(age, half));
        }

        #[test]
        fn any_age_and_half_life_is_fine(age in any::<u64>(), half in any::<u64>()) {
            prop_assert!(half_life(age, half) <= Ppm::FULL);
        }
    }
}
