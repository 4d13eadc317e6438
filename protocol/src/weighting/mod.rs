//! Second property: evidential weighting.
//!
//! Each piece of evidence carries a vector of five weights in parts per million, with the steps that led to each.
//! Nothing here collapses the vector to one number.

pub mod corroboration;
pub mod derive;
pub mod recency;
pub mod vector;

pub use derive::{Derivation, Rubric, Weighed};
pub use vector::{Dimension, Ppm, Step, Weight};
