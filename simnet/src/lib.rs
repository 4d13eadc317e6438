//! A deterministic world: virtual time, one seed, a faulty network and faulty disks, in which the very engines run that
//! the node drives.
//!
//! ```text
//! seed -> Plan (hosts, clocks, adversaries, steps) -> run: mischief ... mend -> converge -> scan -> Report
//!                 ^                                      |
//!                 +----------- shrink <------------------+ the first violation
//! ```
//!
//! The same plan gives the same run, byte for byte. A run does mischief for a while, then mends everything and demands
//! that all is well: every host has every head, and what was acknowledged can be proven.
//!
//! | module | holds |
//! | --- | --- |
//! | [`world`], `effects` | hosts, virtual time, the event queue; what effects do and what arrives |
//! | [`network`], [`gossip`], [`clock`] | links and their faults, gossip along a mesh of bounded degree, clocks |
//! | [`host`], [`inputs`], [`disk`], [`log`] | one organisation: its engine, its keys, what it was told last; what survives a crash, and what does not |
//! | [`adversary`], [`workload`] | hosts that do wrong; what organisations have to say |
//! | [`plan`], [`mischief`], [`run`] | what is to be done to a world, doing it, a whole run |
//! | [`scan`], [`members`], [`shrink`] | what is demanded after it, of whom, making a failure small |
//! | [`wire`], [`history`], [`trace`], [`tally`] | everything said, as bytes; what was seen to happen; its digest; what took effect |
//! | [`checkers`], [`canary`] | the invariants, and a planted fault for each |
//! | [`decide`] | decisions from what lies on a disk |
//! | [`story`] | small worlds for tests that tell one story |
//! | [`grow`], [`report`], [`bars`] | what meshes of different sizes cost, measured; as a table and a plot; what they have to keep to |

pub mod adversary;
pub mod bars;
pub mod canary;
pub mod checkers;
pub mod clock;
pub mod decide;
pub mod disk;
mod effects;
pub mod gossip;
pub mod grow;
pub mod history;
pub mod host;
pub mod inputs;
pub mod log;
pub mod members;
pub mod mischief;
pub mod network;
pub mod plan;
pub mod report;
pub mod run;
pub mod scan;
pub mod shrink;
pub mod story;
pub mod tally;
pub mod trace;
pub mod wire;
pub mod workload;
pub mod world;
