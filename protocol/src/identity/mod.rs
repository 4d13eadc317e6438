//! Who may say what: organisations, the authorities that they credential, and the fold over a chain that tells what
//! is in force at each position.

pub mod credential;
pub mod node;
pub mod organisation;
pub mod revocation;
pub mod standing;
pub mod state;

pub use credential::{AuthorityKind, Competence, Credential, CredentialError, Scope};
pub use node::NodeBinding;
pub use organisation::{ActivationQuorum, Organisation, OrganisationError};
pub use revocation::{Revocation, Status, Suspension};
pub use standing::StandingDigest;
pub use state::{AuthorityRecord, OrganisationState, Standing};
