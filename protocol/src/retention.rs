//! How long documents are kept at least: what the law of a jurisdiction asks for. The chain itself is never shortened.

/// What the law of some jurisdictions asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minimum {
    /// The jurisdictions, as organisations and credentials name them.
    pub jurisdictions: &'static [&'static str],
    /// Days, so that every way of counting its months is covered.
    pub days: u32,
    /// Where it stands.
    pub rule: &'static str,
}

/// Six months have at most 184 days.
pub const MINIMA: &[Minimum] = &[Minimum {
    jurisdictions: &[
        "EU", "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT",
        "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
    ],
    days: 184,
    rule: "Regulation (EU) 2024/1689, Articles 19(1) and 26(6): six months at least",
}];

/// A retention that ends before it may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{days} days of retention end before the {} that {jurisdiction} asks for ({})", .minimum.days, .minimum.rule)]
pub struct TooShort {
    /// Days declared.
    pub days: u32,
    /// For which jurisdiction.
    pub jurisdiction: String,
    /// What it asks for.
    pub minimum: Minimum,
}

/// Checks a retention against what each of these jurisdictions asks for. Where none is declared, every one that is known
/// counts: not to know which law applies makes nothing shorter.
///
/// # Errors
/// [`TooShort`].
// INVARIANT(7): unknown is never good.
pub fn check<'a>(days: u32, jurisdictions: impl IntoIterator<Item = &'a str>) -> Result<(), TooShort> {
    let mut declared = jurisdictions.into_iter().peekable();
    let is_unknown = declared.peek().is_none();
    let declared: Vec<&str> = declared.collect();
    for minimum in MINIMA.iter().filter(|minimum| days < minimum.days) {
        let applies = declared.iter().find(|one| is_in(one, minimum));
        let jurisdiction = if is_unknown { minimum.jurisdictions.first() } else { applies };
        if let Some(jurisdiction) = jurisdiction {
            let jurisdiction = (*jurisdiction).to_owned();
            return Err(TooShort { days, jurisdiction, minimum: *minimum });
        }
    }
    Ok(())
}

/// A part of a country, such as `DE-BY`, is in the country.
fn is_in(jurisdiction: &str, minimum: &Minimum) -> bool {
    let country = jurisdiction.split('-').next().unwrap_or(jurisdiction);
    minimum.jurisdictions.iter().any(|one| one.eq_ignore_ascii_case(country))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_before_the_minimum_of_any_jurisdiction_that_applies() {
        for days in [0, 1, 183] {
            for jurisdictions in [&["EU"][..], &["US", "DE"], &["fr"], &["DE-BY"], &[]] {
                assert!(check(days, jurisdictions.iter().copied()).is_err(), "{days} {jurisdictions:?}");
            }
        }
        let text = check(30, ["US", "DE"]).unwrap_err().to_string();
        assert!(text.starts_with("30 days of retention end before the 184 that DE asks for"), "{text}");
        for days in [184, 3650] {
            assert_eq!(check(days, ["EU"]), Ok(()));
            assert_eq!(check(days, []), Ok(()));
        }
        assert_eq!(check(30, ["US"]), Ok(()), "no minimum is known there");
    }
}
