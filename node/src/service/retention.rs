//! How long imported documents are kept.

use counterfoil_protocol::identity::OrganisationState;
use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::retention;

use super::{Node, ServiceError};
use crate::data::NodeConfig;

/// Refuses a retention that ends before the law of one of the organisation's jurisdictions lets it.
pub(super) fn check(config: &NodeConfig, state: &OrganisationState) -> Result<(), ServiceError> {
    let Some(days) = config.retention_days else { return Ok(()) };
    let of_authorities = state.authorities().values().flat_map(|record| &record.credential.jurisdictions);
    let all = state.description().jurisdictions.iter().chain(of_authorities).map(String::as_str);
    retention::check(days, all).map_err(|error| {
        let text = format!("{error}; set retention-days in node.toml to at least that, or leave it out");
        ServiceError::refused("retention", text)
    })
}

impl Node {
    /// Deletes documents whose time is over, unless a jurisdiction that came since asks for more.
    pub(super) fn expire_documents(&self) -> Result<(), ServiceError> {
        let Some(days) = self.config.retention_days else { return Ok(()) };
        check(&self.config, &self.runtime.state())?;
        let until = Timestamp(self.now().0.saturating_sub(u64::from(days) * 86_400));
        let deleted = self.data.expire_documents(until)?;
        if deleted > 0 {
            tracing::info!(deleted, days, "documents whose time is over were deleted");
        }
        Ok(())
    }
}
