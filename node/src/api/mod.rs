//! The HTTP API: one router, served on a socket for the node's owner and on TCP for everybody else.
//!
//! | module | holds |
//! | --- | --- |
//! | [`routes`] | addresses and what they do |
//! | [`actuation`] | decisions and what follows from them |
//! | [`problem`] | errors as RFC 9457 problem details |
//! | [`server`] | accepting connections, with limits and a token |

pub mod actuation;
mod lineage;
pub mod problem;
pub mod routes;
mod scitt;
pub mod server;
mod witness;

pub use routes::{owner_router, router};
pub use server::{serve_tcp, serve_unix};
