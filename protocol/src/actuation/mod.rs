//! Fourth property: governed actuation.

pub mod effect;
pub mod mode;
pub mod permit;
pub mod request;

pub use effect::{Effect, Mismatch, Nonconformity};
pub use mode::Mode;
pub use permit::{Permit, PermitError};
pub use request::{Request, RequestError, Reversibility};
