//! What organisations agree on: charters and membership, agreements, recognition, links and counterfoils.

pub mod agreement;
pub mod charter;
pub mod letter;
pub mod link;
pub mod membership;
pub mod recognition;
pub mod witnesses;

pub use agreement::{Acceptance, Agreement, AgreementError, Agreements, Audience, Outside};
pub use charter::{
    Admission, Amendment, Ballot, Charter, CharterError, Invitation, Join, Leave, OnFork, Terms,
};
pub use letter::{Invited, Letter, LetterError};
pub use link::{Answer, Counterfoil, Link, LinkError, LinkState, LinkTarget, Relation};
pub use membership::{Era, Membership};
pub use recognition::{Recognition, RecognitionError, Term, Translation};
pub use witnesses::Electorate;
