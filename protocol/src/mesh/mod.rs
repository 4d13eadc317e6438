//! What organisations agree on: charters and membership, recognition, links and counterfoils.

pub mod charter;
pub mod link;
pub mod membership;
pub mod recognition;

pub use charter::{Admission, Ballot, Charter, CharterError, Join, OnFork};
pub use link::{Answer, Counterfoil, Link, LinkError, LinkTarget, Relation};
pub use membership::Membership;
pub use recognition::{Recognition, RecognitionError, Term, Translation};
