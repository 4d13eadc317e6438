//! The demonstration: real processes on this machine, each its own organisation, and a story played through them.
//!
//! | module | holds |
//! | --- | --- |
//! | [`stage`] | processes, their data directories, and the commands that are run on them |
//! | [`story`] | from a charter to a recall |
//! | [`tamper`] | four attacks, and how each is caught |
//!
//! Everything is done by the commands that a user would type, on files that lie in the demonstration's folder.

pub mod stage;
pub mod story;
pub mod tamper;
