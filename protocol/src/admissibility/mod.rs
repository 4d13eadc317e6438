//! Third property: composite admissibility.
//!
//! A verdict is a pure function of profiles, evidence, request and time: the same inputs give the same bytes, in any
//! order of arrival, on any machine. Integers only.
//!
//! | module | holds |
//! | --- | --- |
//! | [`profile`], [`source`] | the declared policy, its TOML form, and what can be wrong with it |
//! | [`evidence`] | what is weighed, and findings that speak against it |
//! | [`basis`] | which chains a decision rests on |
//! | [`gather`] | from chains and statements to a case |
//! | [`declared`] | from chains to what governs an action besides profiles |
//! | [`dispute`] | disputes of what a decision rests on |
//! | [`mod@evaluate`], `prepare`, `conclude` | from a case to a verdict: what does not change, what does, what follows |
//! | [`evaluator`] | for whoever decides about the same again and again |
//! | [`govern`] | what governs the action, applied to what the profiles say |
//! | [`scenario`] | situations in files, with the verdicts that are expected |
//! | [`what_if`] | the same decision under other circumstances, or another profile |
//! | [`mod@diff`] | whether one profile is stronger than another, with a situation that shows it |
//! | [`structure`] | the composed rule as one threshold tree, and what it says about sets |
//! | `product`, `diagram`, [`mod@count`] | the minimal sets, and how many they are: directly, or all at once |
//! | [`verdict`], [`decision`] | the result, and the statement that records it |

pub mod basis;
mod conclude;
pub mod count;
pub mod decision;
pub mod declared;
mod diagram;
pub mod diff;
pub mod dispute;
pub mod evaluate;
pub mod evaluator;
pub mod evidence;
pub mod expression;
pub mod gather;
pub mod govern;
mod prepare;
mod product;
pub mod profile;
pub mod scenario;
pub mod source;
pub mod structure;
pub mod verdict;
pub mod what_if;

pub use count::SetCount;
pub use decision::{Activation, Basis, Decision, EvidenceRef, Inquiry, InquiryAnswer, SilenceRule};
pub use evaluate::{Case, DeclaredProfile, evaluate};
pub use evaluator::Evaluator;
pub use evidence::{
    Crossing, Evidence, Finding, FindingKind, Freshness, ReceiptStanding, RecognitionStanding, Relation,
    Silence,
};
pub use profile::{Composition, Profile, ProfileError, Requirement, Rule};
pub use verdict::Verdict;
