//! Fourth property: governed actuation.

//!
//! | module | holds |
//! | --- | --- |
//! | [`request`], [`mode`] | what is asked, and the four answers |
//! | [`class`], [`harm`] | what is declared about actions and about harm |
//! | [`governance`] | both with stages and overrides, as a decision sees them |
//! | [`overriding`] | emergency overrides and their budgets |
//! | [`permit`], [`gate`] | permits, and what an actuator needs to accept one |
//! | [`effect`], [`predict`] | what happened, against what was predicted |
//! | [`correction`] | what is done about what did not go as it should |

pub mod class;
pub mod correction;
pub mod effect;
pub mod gate;
pub mod governance;
pub mod harm;
pub mod mode;
pub mod overriding;
pub mod permit;
pub mod predict;
pub mod request;

pub use class::{ActionClass, ActionClassError};
pub use correction::{CorrectionError, CorrectiveAction};
pub use effect::{Effect, Mismatch, Nonconformity};
pub use gate::verify_permit;
pub use governance::Governance;
pub use harm::{HarmOrdering, HarmOrderingError};
pub use mode::Mode;
pub use overriding::{Override, OverrideBudget, OverridePolicy, OverrideRefusal};
pub use permit::{Permit, PermitError};
pub use request::{Request, RequestError, Reversibility};
