//! Declarations about actions: their classes, and how a jurisdiction orders harm.

use counterfoil_protocol::actuation::{ActionClass, HarmOrdering};
use counterfoil_protocol::ids::StatementId;
use counterfoil_protocol::statement::{Kind, Payload};
use serde::{Deserialize, Serialize};

use super::say::{Said, Say};
use super::{Node, ServiceError};

/// A declaration that is in force in the own chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeclaredView {
    /// The statement.
    pub statement: StatementId,
    /// Its kind.
    pub kind: Kind,
    /// The pattern of actions, or the jurisdiction.
    pub about: String,
    /// What it says.
    pub says: serde_json::Value,
}

impl Node {
    /// Declares an action class, from TOML.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn declare_class(&self, toml: &str, authority: Option<String>) -> Result<Said, ServiceError> {
        let class = ActionClass::from_toml(toml)
            .map_err(|error| ServiceError::caller("action-class", error.to_string()))?;
        self.say(Say { authority, ..Say::new(Kind::ActionClass, &class)? })
    }

    /// Declares how a jurisdiction orders harm, from TOML.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn declare_ordering(&self, toml: &str, authority: Option<String>) -> Result<Said, ServiceError> {
        let ordering = HarmOrdering::from_toml(toml)
            .map_err(|error| ServiceError::caller("harm-ordering", error.to_string()))?;
        self.say(Say { authority, ..Say::new(Kind::HarmOrdering, &ordering)? })
    }

    /// The declarations that are in force in the own chain: the last about each pattern and jurisdiction.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn declarations(&self) -> Result<Vec<DeclaredView>, ServiceError> {
        let view = self.view()?;
        let own = view.chains.get(&self.organisation());
        let mut found = std::collections::BTreeMap::new();
        for verified in own.into_iter().flat_map(|own| own.standing()) {
            let (about, says) = match verified.payload() {
                Payload::ActionClass(class) => (class.action.clone(), serde_json::to_value(class)),
                Payload::HarmOrdering(ordering) => {
                    (ordering.jurisdiction.clone(), serde_json::to_value(ordering))
                }
                _ => continue,
            };
            let (statement, kind) = (verified.id(), verified.kind());
            let says = says.unwrap_or_default();
            found.insert((kind, about.clone()), DeclaredView { statement, kind, about, says });
        }
        Ok(found.into_values().collect())
    }
}
