//! Predictions: what is said beforehand about one observed value.
//!
//! ```text
//! >=N    <=N      at least, at most so much
//! A..B            from A to B, both included
//! N+-T            N, or up to T more or less
//! anything else   exactly this text
//! ```
//!
//! Numbers are integers of up to 18 digits. What is observed has to be such a number too, or the prediction did not hold.

/// Most digits of a number.
const DIGITS_MAX: usize = 18;

/// Whether an observed value is one that was predicted.
pub fn holds(predicted: &str, observed: &str) -> bool {
    match range(predicted) {
        Some((least, most)) => number(observed).is_some_and(|found| (least..=most).contains(&found)),
        None => predicted == observed,
    }
}

/// The numbers that a prediction allows, where it is about numbers.
fn range(predicted: &str) -> Option<(i64, i64)> {
    if let Some(least) = predicted.strip_prefix(">=") {
        return Some((number(least)?, i64::MAX));
    }
    if let Some(most) = predicted.strip_prefix("<=") {
        return Some((i64::MIN, number(most)?));
    }
    if let Some((least, most)) = predicted.split_once("..") {
        return Some((number(least)?, number(most)?));
    }
    let (middle, tolerance) = predicted.split_once("+-")?;
    let (middle, tolerance) = (number(middle)?, number(tolerance)?);
    Some((middle.saturating_sub(tolerance), middle.saturating_add(tolerance)))
}

/// An integer without sign or with a minus, and at most one blank before and after it.
fn number(text: &str) -> Option<i64> {
    let text = text.strip_prefix(' ').unwrap_or(text);
    let text = text.strip_suffix(' ').unwrap_or(text);
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_tolerances_and_texts_have_none() {
        for (predicted, observed, expected) in [
            ("active", "active", true),
            ("active", "Active", false),
            (">=950000", "950000", true),
            (">= 950000", "949999", false),
            (">=950000", "active", false),
            (">=-5", "-5", true),
            (">=-5", "-6", false),
            ("<=20", "20", true),
            ("<=20", "21", false),
            ("10..20", "10", true),
            ("10..20", "20", true),
            ("10 .. 20", "15", true),
            ("10..20", "9", false),
            ("20..10", "15", false),
            ("100+-5", "95", true),
            ("100+-5", "105", true),
            ("100 +- 5", "106", false),
            // No numbers on either side: texts.
            ("a..b", "a..b", true),
            (">=x", ">=x", true),
            (">=5", ">=5", false),
            (">=5", "+6", false),
            (">=5", "6.0", false),
            (">=5", "1234567890123456789", false),
            ("", "", true),
        ] {
            assert_eq!(holds(predicted, observed), expected, "{predicted:?} against {observed:?}");
        }
    }
}
