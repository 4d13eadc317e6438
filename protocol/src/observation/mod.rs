//! First property: authority-credentialed observation.
//!
//! An observation asserts one claim about subjects. What an imported document said, and what was and was not
//! proven about it, stand in [`source`]; who may assert the claim is the affair of [`crate::identity`].

pub mod claim;
pub mod sealed;
pub mod source;
pub mod subject;

pub use claim::{Metric, Observation, ObservationError};
pub use sealed::{Disclosure, DisclosureError};
pub use source::{Source, SourceCheck, SourceSignature};
pub use subject::{ArtifactDigest, DigestAlgorithm, Subject, SubjectKey};
