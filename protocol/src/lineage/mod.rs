//! Fifth property: lineage-recorded provenance.

pub mod edge;
pub mod graph;
pub mod index;
mod lines;
pub mod recall;

pub use edge::{Edge, EdgeKind, activity_edges, edges};
pub use index::Index;
pub use recall::{Acknowledgement, Recall, RecallResponse};
