//! Action classes: what an organisation declares about actions of one kind, whatever a request says of itself.

use serde::{Deserialize, Serialize};

use super::request::Reversibility;
use crate::identity::credential::pattern_matches;
use crate::limits::{HARM_CLASSES_MAX, LABEL_BYTES_MAX, STAGE_VALUES_MAX, STAGES_MAX};

/// Declares how actions of a class are governed. Of several declarations of one pattern in a chain the last counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ActionClass {
    /// The actions that it is about, as a pattern such as `deploy/*`.
    pub action: String,
    /// Whether such an action can be taken back. A request may claim to be stricter, and never laxer.
    pub reversibility: Reversibility,
    /// From where on it cannot be taken back any more; said of irreversible and compensable actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_of_no_return: Option<PointOfNoReturn>,
    /// Kinds of harm that can come of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub harm: Vec<String>,
    /// Steps in which such an action is taken, each after a decision of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
    /// Seconds for which a permit may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit_s: Option<u64>,
    /// Seconds within which the effect is to be reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect_s: Option<u64>,
}

/// From where on an action cannot be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PointOfNoReturn {
    /// What happens then.
    pub what: String,
    /// Seconds after the beginning of the action, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_s: Option<u64>,
}

/// Steps in which an action widens. What a step allows has to have been requested too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stages {
    /// The scope dimension that they are about.
    pub dimension: String,
    /// Values of the dimension that each step allows, the first step first.
    pub steps: Vec<Vec<String>>,
}

/// Why a declaration about actions is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionClassError {
    /// Not TOML of the right shape; the text names line and column.
    #[error("{0}")]
    Toml(String),
    /// A label is empty or too long.
    #[error("{0} has 1 to {LABEL_BYTES_MAX} bytes")]
    Label(&'static str),
    /// Too many harm classes.
    #[error("{0} harm classes, where {HARM_CLASSES_MAX} are allowed")]
    Harm(usize),
    /// What it says of the point of no return does not fit its reversibility.
    #[error("a point of no return is named for an irreversible action, and for no reversible one")]
    NoReturn,
    /// Stages that stage nothing.
    #[error("stages are 1 to {STAGES_MAX} steps of 1 to {STAGE_VALUES_MAX} values each")]
    Stages,
    /// A permit or report that could never be in time.
    #[error("a permit is usable, and its effect is due, after one second at least")]
    Time,
}

impl ActionClass {
    /// Reads a declaration from TOML and checks it.
    ///
    /// # Errors
    /// [`ActionClassError`].
    pub fn from_toml(text: &str) -> Result<Self, ActionClassError> {
        let class: Self = toml::from_str(text).map_err(|error| ActionClassError::Toml(error.to_string()))?;
        class.check()?;
        Ok(class)
    }

    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`ActionClassError`].
    pub fn check(&self) -> Result<(), ActionClassError> {
        label("action", &self.action)?;
        let ends = self.point_of_no_return.as_ref();
        ends.map_or(Ok(()), |end| label("point-of-no-return", &end.what))?;
        match (self.reversibility, ends) {
            (Reversibility::Irreversible, None) | (Reversibility::Reversible, Some(_)) => {
                return Err(ActionClassError::NoReturn);
            }
            _ => {}
        }
        if self.harm.len() > HARM_CLASSES_MAX {
            return Err(ActionClassError::Harm(self.harm.len()));
        }
        self.harm.iter().try_for_each(|harm| label("harm", harm))?;
        if let Some(stages) = &self.stages {
            label("dimension", &stages.dimension)?;
            let fits = |step: &Vec<String>| (1..=STAGE_VALUES_MAX).contains(&step.len());
            if !(1..=STAGES_MAX).contains(&stages.steps.len()) || !stages.steps.iter().all(fits) {
                return Err(ActionClassError::Stages);
            }
            stages.steps.iter().flatten().try_for_each(|value| label("stage", value))?;
        }
        if self.permit_s == Some(0) || self.effect_s == Some(0) {
            return Err(ActionClassError::Time);
        }
        Ok(())
    }

    /// Whether it is about an action.
    pub fn covers(&self, action: &str) -> bool {
        pattern_matches(&self.action, action)
    }
}

fn label(what: &'static str, text: &str) -> Result<(), ActionClassError> {
    if text.is_empty() || text.len() > LABEL_BYTES_MAX { Err(ActionClassError::Label(what)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLL_OUT: &str = r#"
        action = "update/*"
        reversibility = "irreversible"
        point-of-no-return = { what = "the former weights are deleted", after-s = 3600 }
        harm = ["delay", "injury"]
        stages = { dimension = "traffic", steps = [["1 %"], ["10 %"], ["100 %"]] }
        permit-s = 600
        effect-s = 86400
    "#;

    #[test]
    fn a_class_is_the_same_in_toml_and_cbor() {
        let class = ActionClass::from_toml(ROLL_OUT).unwrap();
        let bytes = crate::codec::encode(&class).unwrap();
        assert_eq!(crate::codec::decode::<ActionClass>(&bytes, 4096), Ok(class.clone()));
        assert!(class.covers("update/triage") && !class.covers("deploy/triage"));
    }

    #[test]
    fn each_rule_is_checked() {
        let class = ActionClass::from_toml(ROLL_OUT).unwrap();
        let stages = |steps: &[&[&str]]| {
            let steps = steps.iter().map(|step| step.iter().map(|s| (*s).to_owned()).collect()).collect();
            Some(Stages { dimension: "traffic".into(), steps })
        };
        let changed: [(ActionClass, ActionClassError); 9] = [
            (ActionClass { action: String::new(), ..class.clone() }, ActionClassError::Label("action")),
            (ActionClass { point_of_no_return: None, ..class.clone() }, ActionClassError::NoReturn),
            (
                ActionClass { reversibility: Reversibility::Reversible, ..class.clone() },
                ActionClassError::NoReturn,
            ),
            (ActionClass { harm: vec!["x".into(); 65], ..class.clone() }, ActionClassError::Harm(65)),
            (ActionClass { harm: vec![String::new()], ..class.clone() }, ActionClassError::Label("harm")),
            (ActionClass { stages: stages(&[]), ..class.clone() }, ActionClassError::Stages),
            (ActionClass { stages: stages(&[&["1 %"], &[]]), ..class.clone() }, ActionClassError::Stages),
            (ActionClass { permit_s: Some(0), ..class.clone() }, ActionClassError::Time),
            (ActionClass { effect_s: Some(0), ..class.clone() }, ActionClassError::Time),
        ];
        assert_eq!(class.check(), Ok(()));
        for (changed, error) in changed {
            assert_eq!(changed.check(), Err(error), "{changed:?}");
        }
        let error = ActionClass::from_toml("action = \"a\"\nreversible = true").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
