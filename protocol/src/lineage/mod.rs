//! Fifth property: lineage-recorded provenance.

pub mod edge;
pub mod graph;
pub mod recall;

pub use edge::{Edge, EdgeKind, edges};
pub use recall::{Acknowledgement, Recall, RecallResponse};
