//! What a node does about its peers, as a state machine.
//!
//! ```text
//!   API, timer, network, disk                                      disk, network, API
//!            |                                                            ^
//!            v                                                            |
//!       Input ---> Engine::handle(now, input) ---> Outbox ---> Engine::poll_effect() -> Effect
//!                        |                            |
//!                        v                            +-- holds back what must not be seen
//!                 state in memory                         before its ticket is durable
//! ```
//!
//! The driver sends every input with the time at which it happened, runs every effect that [`Engine::poll_effect`]
//! yields, in order, and wakes the engine at [`Engine::next_deadline`]. `Persist` and `LockHead` effects are answered by
//! `Durable` and `HeadLocked` inputs that carry the same ticket. *Persist, then speak*: an effect that tells somebody
//! something is queued behind the ticket of the write that makes it true.
//!
//! This crate knows no libp2p, no disk and no clock, and has no randomness but a seed that it is given.
//!
//! | module | holds |
//! | --- | --- |
//! | [`engine`] | routing of inputs, and the state that they change |
//! | [`input`], [`effect`], [`message`] | the closed lists of what goes in, out, and over the wire |
//! | [`outbox`] | tickets, and what waits for them |
//! | [`sequencer`] | the own chain: group commit, head lock, receipts |
//! | [`replica`] | a chain as far as it is known here, own or foreign |
//! | [`checked`] | what engines of one process need to check only once |
//! | [`peer`] | who a connection speaks for, and what it may cost |
//! | `introduce` | introductions |
//! | `circle` | with whom gossip is exchanged |
//! | `sync` | heads: heard of, looked at, and what they cost |
//! | `requests` | requests to peers: places and deadlines |
//! | `rounds` | when heads are compared, and with whom |
//! | `record` | what vectors are made of |
//! | `vector` | heads compared with peers: tokens, vectors, ranges |
//! | `notice` | new heads: word of them ahead, and what follows |
//! | `fetch` | entries under heads, from whoever has them, with proofs |
//! | [`budget`] | token buckets |
//! | `witness` | cosignatures: whose count, giving them, collecting them |
//! | `watch` | witnesses that are silent or away |
//! | [`recover`] | what a recovery goes on from, and what it writes |
//! | `seek` | a node that has lost track of its own heads |
//! | `exposure` | contradictions: noticed, proven, stored, passed on |
//! | `agreement` | what is for parties alone: who is given it, and how they get it later |
//! | [`evidence`] | what members are asked for a decision, and how long it waits |
//! | [`whereabouts`] | statements that are not here: who has them, and that they come |
//! | `pause` | intentional disconnection from one organisation |
//! | [`usage`] | what the engine holds, counted |
//! | [`config`] | validated limits |

mod agreement;
pub mod budget;
pub mod checked;
mod circle;
pub mod config;
pub mod effect;
pub mod engine;
pub mod evidence;
mod exposure;
mod fetch;
pub mod input;
mod introduce;
pub mod message;
mod notice;
pub mod outbox;
mod pause;
pub mod peer;
mod reach;
mod record;
pub mod recover;
pub mod replica;
mod requests;
mod rounds;
mod seek;
pub mod sequencer;
pub mod store;
mod sync;
pub mod time;
pub mod usage;
mod vector;
mod watch;
pub mod whereabouts;
mod witness;

pub use checked::Checked;
pub use config::Config;
pub use effect::{Effect, Event};
pub use engine::Engine;
pub use input::Input;
pub use time::Millis;
pub use usage::Usage;
