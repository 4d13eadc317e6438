//! Half-lives in big integers.

use num_bigint::BigUint;

/// `2^(-age / half_life)` in parts per million, rounded down, exactly: the largest `v` for which
/// `v^half_life * 2^age <= 1000000^half_life`.
pub(crate) fn exact(age: u64, half_life: u64) -> u32 {
    let divisor = gcd(age, half_life);
    let (age, half_life) = (age / divisor, (half_life / divisor) as u32);
    // A million is less than 2^20.
    if age / u64::from(half_life) >= 20 {
        return 0;
    }
    let full = BigUint::from(1_000_000u32).pow(half_life);
    let (mut least, mut most) = (0u32, 1_000_000);
    while least < most {
        let middle = least + (most - least).div_ceil(2);
        if BigUint::from(middle).pow(half_life) << age <= full { least = middle } else { most = middle - 1 }
    }
    least
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
