//! Who may say what: organisations, the authorities that they credential, and the fold over a chain that tells what
//! is in force at each position.

pub mod credential;
pub mod epoch;
pub mod node;
pub mod organisation;
pub mod recovery;
pub mod revocation;
pub mod standing;
pub mod state;
pub mod succession;

pub use credential::{AuthorityKind, Competence, Credential, CredentialError, Scope};
pub use epoch::{Epoch, Epochs, epoch_of, first_seq};
pub use node::NodeBinding;
pub use organisation::{ActivationQuorum, Organisation, OrganisationError};
pub use recovery::{LostHead, Recovery, RecoveryError};
pub use revocation::{Revocation, Status, Suspension};
pub use standing::StandingDigest;
pub use state::{AuthorityRecord, OrganisationState, Standing};
pub use succession::Succession;
