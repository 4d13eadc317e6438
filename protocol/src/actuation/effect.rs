//! Effects and nonconformities: what happened, against what was predicted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::predict;
use crate::ids::{StatementId, Timestamp};

/// Reports what happened under a permit. A permit is used up by its first effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// The permit.
    pub permit: StatementId,
    /// When it happened.
    pub effective: Timestamp,
    /// What was observed, by name.
    pub observed: BTreeMap<String, String>,
    /// What was predicted and came out otherwise, or was not observed at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<Mismatch>,
}

/// One prediction that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mismatch {
    /// Name of the predicted effect.
    pub name: String,
    /// What was predicted.
    pub predicted: String,
    /// What was observed; none when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
}

/// Something that did not go as it should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nonconformity {
    /// The statement that shows it: an effect with mismatches or reported late, a permit whose effect was not reported, a
    /// decision under an override, or any other.
    pub cause: StatementId,
    /// What is not as it should be.
    pub finding: String,
}

impl Effect {
    /// The mismatches between what was predicted (see [`predict`]) and what was observed, in the order of their names.
    pub fn compare(
        predicted: &BTreeMap<String, String>,
        observed: &BTreeMap<String, String>,
    ) -> Vec<Mismatch> {
        predicted
            .iter()
            .filter(|(name, value)| !observed.get(*name).is_some_and(|found| predict::holds(value, found)))
            .map(|(name, value)| Mismatch {
                name: name.clone(),
                predicted: value.clone(),
                observed: observed.get(name).cloned(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_different_is_a_mismatch_and_what_is_extra_is_not() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let predicted = map(&[("a", ">=1"), ("b", "2"), ("c", "3")]);
        let observed = map(&[("a", "1"), ("b", "9"), ("d", "4")]);
        let mismatches = Effect::compare(&predicted, &observed);
        let names: Vec<_> = mismatches.iter().map(|m| (m.name.as_str(), m.observed.as_deref())).collect();
        assert_eq!(names, [("b", Some("9")), ("c", None)]);
    }
}
