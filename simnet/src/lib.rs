//! A deterministic world: virtual time, one seed, a faulty network and faulty disks, in which the very engines run that
//! the node drives.
//!
//! The same seed gives the same run. A run does mischief for a while, then heals everything and demands that all is
//! well: every host has every head, and what was acknowledged can be proven.
//!
//! | module | holds |
//! | --- | --- |
//! | [`world`] | hosts, virtual time, the event queue |
//! | [`host`] | one organisation: its engine, its disk, its keys |
//! | [`disk`] | what survives a crash, and what does not |
//! | [`history`] | what was seen to happen |
//! | [`checkers`] | the invariants, each over the history and the disks |
//! | [`swarm`] | a seeded run: mischief, healing, checks |
//! | [`equivocation`] | a seeded run with an organisation that shows two chains |

pub mod checkers;
pub mod disk;
pub mod equivocation;
pub mod history;
pub mod host;
pub mod swarm;
pub mod world;
