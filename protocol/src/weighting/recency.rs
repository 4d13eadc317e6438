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
    let parts = |value: u128| ((1_000_000 * value) >> POINT) >> whole;
    // What is near enough for all but one in a hundred million to be told apart says it for those.
    let near = nearly(fraction as u64);
    let (low, high) = (parts(near - NEAR), parts(near + NEAR));
    let parts = if low == high { low } else { parts(exactly(fraction)) };
    Ppm::new(u32::try_from(parts).unwrap_or(u32::MAX))
}

/// `2^-fraction`, as one factor after the other makes it.
fn exactly(fraction: u128) -> u128 {
    FACTORS
        .iter()
        .zip((0..FRACTION_BITS).rev())
        .filter(|(_, bit)| fraction >> bit & 1 == 1)
        .fold(ONE, |value, (factor, _)| (value * factor) >> POINT)
}

/// The most by which [`nearly`] and [`exactly`] differ, with room to spare: what is left of the series is less than
/// `2^-52`, and everything else rounds in the 62nd bit a few times.
const NEAR: u128 = 1 << (POINT - 48);
/// The natural logarithm of two, in the 64th bit.
const LN_2: u128 = 12_786_308_645_202_655_660;

/// `2^-fraction`: from tables for the first eight bits and the next, and three terms of the series for the rest.
fn nearly(fraction: u64) -> u128 {
    let at = |table: &[u64; 256], bit: u32| {
        u128::from(table.get(usize::from((fraction >> bit) as u8)).copied().unwrap_or_default())
    };
    let product = (at(&FIRST, 52) * at(&SECOND, 44)) >> POINT;
    // Of 62 bits, as everything else.
    let rest = (u128::from(fraction & ((1 << 44) - 1)) * LN_2) >> (64 - (POINT - FRACTION_BITS as u32));
    let series = ONE - rest + ((rest * rest) >> (POINT + 1));
    (product * series) >> POINT
}

/// `2^-fraction` for the first eight bits of a fraction, and for the next.
static FIRST: [u64; 256] = powers(0);
static SECOND: [u64; 256] = powers(8);

#[allow(clippy::indexing_slicing, reason = "computed when this crate is compiled")]
const fn powers(first: usize) -> [u64; 256] {
    let mut powers = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut value, mut bit) = (ONE, 0);
        while bit < 8 {
            if index >> (7 - bit) & 1 == 1 {
                value = (value * FACTORS[first + bit]) >> POINT;
            }
            bit += 1;
        }
        powers[index] = value as u64;
        index += 1;
    }
    powers
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
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn what_is_near_is_near_enough(fraction in 0u64..1 << FRACTION_BITS) {
            let (near, exact) = (nearly(fraction), exactly(fraction.into()));
            // A sixteenth of what is allowed for.
            prop_assert!(near.abs_diff(exact) < NEAR / 16, "{near} for {exact}");
        }
    }

    #[test]
    fn near_is_near_enough_at_the_edges_of_the_tables() {
        for edge in (0u64..1 << 16).map(|bits| bits << 44) {
            for fraction in [edge, edge.saturating_sub(1), edge | ((1 << 44) - 1)] {
                assert!(nearly(fraction).abs_diff(exactly(fraction.into())) < NEAR / 16, "{fraction}");
            }
        }
    }

    #[test]
    fn what_lies_at_an_edge_is_computed_exactly() {
        // Whole half-lives and ages around those at which a part per million is lost.
        for half in [7u64, 86_400, 31_536_000, 1 << 40] {
            for age in (0..200).map(|n| half / 100 * n + n) {
                let (whole, rest) = (age / half, age % half);
                let fraction = (u128::from(rest) << FRACTION_BITS) / u128::from(half);
                let expected = ((1_000_000 * exactly(fraction)) >> POINT) >> whole;
                assert_eq!(u128::from(half_life(age, half).get()), expected, "{age} of {half}");
            }
        }
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
