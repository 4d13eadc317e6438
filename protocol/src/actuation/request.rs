//! Requests: what somebody wants to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::{LABEL_BYTES_MAX, SUBJECTS_MAX};
use crate::observation::Subject;

/// Whether an action can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversibility {
    /// It can be undone.
    Reversible,
    /// It cannot be undone, but made good.
    Compensable,
    /// Neither.
    Irreversible,
}

impl Reversibility {
    /// The name used in requests and profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reversible => "reversible",
            Self::Compensable => "compensable",
            Self::Irreversible => "irreversible",
        }
    }
}

/// A proposed action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Request {
    /// Action class, such as `deploy/clinical`.
    pub action: String,
    /// What is acted upon or with.
    pub subjects: Vec<Subject>,
    /// Who would act.
    pub actuator: String,
    /// Requested scopes by dimension: regions, populations, capabilities.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scopes: BTreeMap<String, Vec<String>>,
    /// Predicted effect, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub predicted: BTreeMap<String, String>,
    /// Whether it can be taken back.
    pub reversibility: Reversibility,
    /// Kinds of harm that could come of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub harm: Vec<String>,
    /// What for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
}

/// Why a request cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No subject, or too many.
    #[error("a request has 1 to {SUBJECTS_MAX} subjects, not {0}")]
    Subjects(usize),
    /// A field is empty or too long.
    #[error("{0} has 1 to {LABEL_BYTES_MAX} bytes")]
    Label(&'static str),
}

impl Request {
    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn check(&self) -> Result<(), RequestError> {
        if self.subjects.is_empty() || self.subjects.len() > SUBJECTS_MAX {
            return Err(RequestError::Subjects(self.subjects.len()));
        }
        for (text, what) in [(&self.action, "action"), (&self.actuator, "actuator")] {
            if text.is_empty() || text.len() > LABEL_BYTES_MAX {
                return Err(RequestError::Label(what));
            }
        }
        Ok(())
    }
}
