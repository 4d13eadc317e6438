//! What is known of a chain under one of its heads, as decisions look at it.

use std::sync::Arc;

use counterfoil_federation::replica::Replica;
use counterfoil_protocol::admissibility::Basis;
use counterfoil_protocol::admissibility::gather::ChainView;
use counterfoil_protocol::identity::OrganisationState;
use counterfoil_protocol::ids::TreeSize;
use counterfoil_protocol::statement::Verified;

use super::{Blame, ServiceError};

/// What is known of a chain under one of its heads.
pub(super) struct Known {
    pub(super) state: OrganisationState,
    pub(super) standing: Vec<Arc<Verified>>,
    pub(super) basis: Basis,
}

/// The standing statements among a chain's first `size`, in chain order.
pub(super) fn standing_under(replica: &Replica, size: TreeSize) -> impl Iterator<Item = &Verified> {
    replica.standing().iter().map(|verified| &**verified).filter(move |one| size.contains(one.position()))
}

impl Known {
    /// Of the chain's first `size` statements.
    ///
    /// # Errors
    /// [`ServiceError`] when they do not follow from each other, which is this node's fault.
    pub(super) fn under(replica: &Replica, size: TreeSize, basis: Basis) -> Result<Self, ServiceError> {
        let state = match replica.size() == size {
            true => replica.state().clone(),
            false => OrganisationState::under(standing_under(replica, size), size)
                .map_err(|error| ServiceError::new(Blame::Node, error.check(), error.to_string()))?,
        };
        let standing = replica.standing().iter().filter(|one| size.contains(one.position())).cloned();
        Ok(Self { state, standing: standing.collect(), basis })
    }

    /// As the protocol looks at it.
    pub(super) fn view(&self) -> ChainView<'_> {
        let standing = self.standing.iter().map(|verified| &**verified).collect();
        ChainView { state: &self.state, standing, basis: self.basis.clone() }
    }
}
