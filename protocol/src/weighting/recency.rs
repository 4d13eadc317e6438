//! Recency: half of the weight is lost with each half-life, in exact integer arithmetic.

use super::vector::Ppm;

/// Fixed-point one, with 62 fractional bits.
const ONE: u128 = 1 << 62;
/// Bits of the fraction of a half-life that are taken into account.
const FRACTION_BITS: u32 = 20;

/// `2^(-age / half_life)` in parts per million, rounded down.
///
/// Exact at whole half-lives. In between the error is below one part per million: the fraction is cut to 20 bits (a
/// relative error of at most `ln 2 / 2^20`, 0.7 parts per million), and each of the 20 factors is rounded down in the
/// 62nd bit. A half-life of zero means that only what is of this very second has any weight.
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
    let mut value = ONE;
    let mut factor = ONE / 2;
    for bit in (0..FRACTION_BITS).rev() {
        // 2^(-1/2), 2^(-1/4), ...: the square root of the factor before.
        factor = (factor << 62).isqrt();
        if fraction >> bit & 1 == 1 {
            value = (value * factor) >> 62;
        }
    }
    let parts = ((1_000_000 * value) >> 62) >> whole;
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
