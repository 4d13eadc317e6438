//! What organisations agree on: charters and membership, agreements, recognition, links and counterfoils.

pub mod agreement;
pub mod charter;
pub mod link;
pub mod membership;
pub mod recognition;

pub use agreement::{Acceptance, Agreement, AgreementError, Agreements, Audience, Outside};
pub use charter::{Admission, Ballot, Charter, CharterError, Join, OnFork};
pub use link::{Answer, Counterfoil, Link, LinkError, LinkState, LinkTarget, Relation};
pub use membership::Membership;
pub use recognition::{Recognition, RecognitionError, Term, Translation};
