//! Statements: the only thing that a chain contains.
//!
//! Bytes become a [`Statement`] (well-formed), then an [`Authentic`] one (its key made the signature), then a
//! [`Verified`] one (that key was allowed to say this, at this position of its organisation's chain). Each step has
//! one constructor, so whoever holds the later type knows that the check was made.

pub mod approval;
pub mod envelope;
pub mod kind;
pub mod payload;
pub mod verify;

pub use approval::{Approval, Endorsed};
pub use envelope::{Authentic, Draft, EnvelopeError, Signed, Statement, authenticate_all};
pub use kind::{Kind, Visibility};
pub use payload::{Payload, PayloadError};
pub(crate) use verify::verify_decoded;
pub use verify::{Refusal, Signatory, Verified, verify};
