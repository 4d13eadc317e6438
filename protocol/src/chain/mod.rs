//! The chain: an RFC 9162 SHA-256 tree over statement digests, published in C2SP's formats.
//!
//! | module | holds |
//! | --- | --- |
//! | [`tree`] | hashes and the compact range that appends |
//! | [`proof`] | inclusion and consistency proofs, made and checked |
//! | [`tile`] | C2SP tiles |
//! | [`note`], [`checkpoint`], [`cosignature`] | C2SP signed notes, checkpoints and cosignatures |
//! | [`head`] | the gossiped checkpoint with its place in the sequence of heads |
//! | [`notice`] | word of a head, in few bytes |
//! | [`receipt`] | COSE receipts (RFC 9942) |
//! | [`anchor`] | other organisations' heads, embedded |
//! | [`misbehaviour`] | proofs that an organisation signed what contradicts itself |

pub mod anchor;
pub mod checkpoint;
pub mod consistency;
pub mod cosignature;
pub mod head;
pub mod misbehaviour;
pub mod note;
pub mod notice;
pub mod proof;
pub mod receipt;
pub mod tile;
pub mod tree;

pub use head::{Head, HeadDraft, SignedHead};
pub use notice::{Notice, SignedNotice};
pub use tree::{CompactRange, Hash, LeafDigest};
