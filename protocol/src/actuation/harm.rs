//! Harm orderings: which harm weighs more than which, as a jurisdiction declares it in a signed statement.

use serde::{Deserialize, Serialize};

use crate::limits::{HARM_CLASSES_MAX, LABEL_BYTES_MAX};

/// Orders the kinds of harm of a jurisdiction, and says from which on more is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HarmOrdering {
    /// The jurisdiction.
    pub jurisdiction: String,
    /// Kinds of harm, from the least to the gravest. One that is not named counts as the gravest.
    pub order: Vec<String>,
    /// From this kind on, missing information leads to `refuse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuse_missing_from: Option<String>,
    /// From this kind on, a person in a role has to be among the authorities whose evidence is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human_role_from: Option<String>,
}

/// Why an ordering is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HarmOrderingError {
    /// Not TOML of the right shape; the text names line and column.
    #[error("{0}")]
    Toml(String),
    /// A label is empty or too long.
    #[error("{0} has 1 to {LABEL_BYTES_MAX} bytes")]
    Label(&'static str),
    /// None, or too many.
    #[error("{0} kinds of harm, where 1 to {HARM_CLASSES_MAX} are ordered")]
    Count(usize),
    /// One stands twice.
    #[error("{0:?} stands in the order twice")]
    Twice(String),
    /// A threshold that is not in the order.
    #[error("{0:?} is not in the order")]
    Unknown(String),
}

impl HarmOrdering {
    /// Reads an ordering from TOML and checks it.
    ///
    /// # Errors
    /// [`HarmOrderingError`].
    pub fn from_toml(text: &str) -> Result<Self, HarmOrderingError> {
        let ordering: Self =
            toml::from_str(text).map_err(|error| HarmOrderingError::Toml(error.to_string()))?;
        ordering.check()?;
        Ok(ordering)
    }

    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`HarmOrderingError`].
    pub fn check(&self) -> Result<(), HarmOrderingError> {
        let label = |what: &'static str, text: &String| match text.len() {
            1..=LABEL_BYTES_MAX => Ok(()),
            _ => Err(HarmOrderingError::Label(what)),
        };
        label("jurisdiction", &self.jurisdiction)?;
        if self.order.is_empty() || self.order.len() > HARM_CLASSES_MAX {
            return Err(HarmOrderingError::Count(self.order.len()));
        }
        for (n, harm) in self.order.iter().enumerate() {
            label("harm", harm)?;
            if self.order.iter().take(n).any(|earlier| earlier == harm) {
                return Err(HarmOrderingError::Twice(harm.clone()));
            }
        }
        for threshold in [&self.refuse_missing_from, &self.human_role_from].into_iter().flatten() {
            if !self.order.contains(threshold) {
                return Err(HarmOrderingError::Unknown(threshold.clone()));
            }
        }
        Ok(())
    }

    /// How grave the gravest of these kinds of harm is, counted from one; zero where there is none.
    // INVARIANT(7): a kind of harm that nobody ordered counts as the gravest.
    pub fn gravity(&self, harm: &[String]) -> usize {
        let one = |harm: &String| self.rank(harm).unwrap_or(self.order.len());
        harm.iter().map(one).max().unwrap_or(0)
    }

    /// Whether harm of this gravity reaches a threshold.
    pub fn reaches(&self, gravity: usize, threshold: Option<&String>) -> bool {
        threshold.and_then(|threshold| self.rank(threshold)).is_some_and(|rank| gravity >= rank)
    }

    fn rank(&self, harm: &String) -> Option<usize> {
        self.order.iter().position(|known| known == harm).map(|place| place + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EU: &str = r#"
        jurisdiction = "EU"
        order = ["inconvenience", "delay", "injury", "death"]
        refuse-missing-from = "injury"
        human-role-from = "delay"
    "#;

    #[test]
    fn gravity_is_that_of_the_gravest_and_what_is_unknown_is_gravest() {
        let ordering = HarmOrdering::from_toml(EU).unwrap();
        let of = |harm: &[&str]| ordering.gravity(&harm.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&["inconvenience"]), 1);
        assert_eq!(of(&["injury", "delay"]), 3);
        assert_eq!(of(&["delay", "reputation"]), 4);
        let reached = |n| {
            let by = |threshold: &Option<String>| ordering.reaches(n, threshold.as_ref());
            (by(&ordering.refuse_missing_from), by(&ordering.human_role_from), by(&None))
        };
        assert_eq!(reached(0), (false, false, false));
        assert_eq!(reached(2), (false, true, false));
        assert_eq!(reached(4), (true, true, false));
    }

    #[test]
    fn each_rule_is_checked() {
        let ordering = HarmOrdering::from_toml(EU).unwrap();
        let changed = [
            (
                HarmOrdering { jurisdiction: String::new(), ..ordering.clone() },
                HarmOrderingError::Label("jurisdiction"),
            ),
            (HarmOrdering { order: vec![], ..ordering.clone() }, HarmOrderingError::Count(0)),
            (
                HarmOrdering { order: vec![String::new()], ..ordering.clone() },
                HarmOrderingError::Label("harm"),
            ),
            (
                HarmOrdering { order: vec!["a".into(), "a".into()], ..ordering.clone() },
                HarmOrderingError::Twice("a".into()),
            ),
            (
                HarmOrdering { human_role_from: Some("x".into()), ..ordering.clone() },
                HarmOrderingError::Unknown("x".into()),
            ),
        ];
        for (changed, error) in changed {
            assert_eq!(changed.check(), Err(error), "{changed:?}");
        }
        assert!(HarmOrdering::from_toml("jurisdiction = 3").unwrap_err().to_string().contains("line 1"));
    }
}
