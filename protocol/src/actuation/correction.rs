//! Corrective actions: what is done about a nonconformity, by whom, until when, and what shows that it was.

use serde::{Deserialize, Serialize};

use crate::ids::{StatementId, Timestamp};
use crate::limits::{LABEL_BYTES_MAX, PROSE_BYTES_MAX, REFS_MAX};

/// Says what is done about a nonconformity. A later one about the same nonconformity adds to it; one that closes ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectiveAction {
    /// The nonconformity.
    pub nonconformity: StatementId,
    /// What is done, or was.
    pub action: String,
    /// Statements that show what it came from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<StatementId>,
    /// Who is responsible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responsible: Option<String>,
    /// Until when it is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Whether that ends the matter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closes: bool,
    /// Statements that show that it was done and that it helped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<StatementId>,
}

/// Why a corrective action is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorrectionError {
    /// It says nothing, or too much.
    #[error(
        "an action is described in 1 to {PROSE_BYTES_MAX} bytes, and whoever is responsible in 1 to {LABEL_BYTES_MAX}"
    )]
    Text,
    /// It names too many statements.
    #[error("it names more than {REFS_MAX} statements")]
    TooMany,
    /// It shows what closes it, and does not close it.
    #[error("closing evidence stands in the action that closes")]
    Evidence,
}

impl CorrectiveAction {
    /// Checks what the type alone cannot say.
    ///
    /// # Errors
    /// [`CorrectionError`].
    pub fn check(&self) -> Result<(), CorrectionError> {
        let responsible = self.responsible.as_ref().map_or(1, String::len);
        if !(1..=PROSE_BYTES_MAX).contains(&self.action.len())
            || !(1..=LABEL_BYTES_MAX).contains(&responsible)
        {
            return Err(CorrectionError::Text);
        }
        if self.causes.len() + self.evidence.len() >= REFS_MAX {
            return Err(CorrectionError::TooMany);
        }
        if !self.evidence.is_empty() && !self.closes { Err(CorrectionError::Evidence) } else { Ok(()) }
    }

    /// The statements that it rests on.
    pub fn refs(&self) -> Vec<StatementId> {
        let mut refs = vec![self.nonconformity];
        refs.extend(self.causes.iter().chain(&self.evidence));
        refs.sort();
        refs.dedup();
        refs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_checked() {
        let id = StatementId::from_bytes([1; 32]);
        let action = CorrectiveAction {
            nonconformity: id,
            action: "retrain on the new scanner's images".into(),
            causes: vec![StatementId::from_bytes([2; 32])],
            responsible: Some("clinical-safety-officer".into()),
            due: Some(Timestamp(9)),
            closes: true,
            evidence: vec![id],
        };
        assert_eq!(action.check(), Ok(()));
        assert_eq!(action.refs().len(), 2);
        let changed = [
            (CorrectiveAction { action: String::new(), ..action.clone() }, CorrectionError::Text),
            (CorrectiveAction { responsible: Some(String::new()), ..action.clone() }, CorrectionError::Text),
            (CorrectiveAction { causes: vec![id; REFS_MAX], ..action.clone() }, CorrectionError::TooMany),
            (CorrectiveAction { closes: false, ..action.clone() }, CorrectionError::Evidence),
        ];
        for (changed, error) in changed {
            assert_eq!(changed.check(), Err(error));
        }
    }
}
