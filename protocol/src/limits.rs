//! Every maximum in one place, with the relations between them asserted when this crate is compiled.
//!
//! A decoder caps the length of what it is given before it looks at the first byte, so that no peer, file or
//! request can make a node allocate more than what stands here.

/// Largest statement, in bytes, as it stands in a chain. Larger content goes into blobs.
pub const STATEMENT_BYTES_MAX: usize = 192 * 1024;
/// Largest payload inside a statement, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = STATEMENT_BYTES_MAX - 8 * 1024;
/// Deepest nesting of arrays and maps in any CBOR item.
pub const CBOR_DEPTH_MAX: usize = 24;
/// Most items (of any type, keys included) in one CBOR document.
pub const CBOR_ITEMS_MAX: usize = 64 * 1024;
/// Most statements one statement may depend on.
pub const REFS_MAX: usize = 256;
/// Most root keys of an organisation.
pub const ROOT_KEYS_MAX: usize = 16;
/// Most authorities that an organisation asks to approve an activation.
pub const APPROVERS_MAX: usize = 32;
/// Largest sum of an organisation's inception and later versions when its chain key is replaced, in bytes: so that whatever
/// the new key signs can be proven to be the organisation's within one message.
pub const SUCCESSION_BYTES_MAX: usize = 96 * 1024;
/// Most members of a mesh that a recovery names as asked.
pub const RECOVERY_ASKED_MAX: usize = 256;
/// Longest name, role, claim type or other label, in bytes.
pub const LABEL_BYTES_MAX: usize = 256;
/// Most subjects of one observation.
pub const SUBJECTS_MAX: usize = 1024;
/// Longest Merkle path: a tree of 2^63 leaves.
pub const PROOF_HASHES_MAX: usize = 63;
/// Largest signed note, in bytes: a checkpoint with the cosignatures of the largest witness set.
pub const NOTE_BYTES_MAX: usize = 32 * 1024;
/// Most signature lines on one note that a reader looks at.
pub const NOTE_SIGNATURES_MAX: usize = 128;
/// Largest signed head, in bytes.
pub const HEAD_BYTES_MAX: usize = 4 * 1024;
/// Most parties of one agreement.
pub const PARTIES_MAX: usize = 64;
/// Most patterns and mapped terms of one recognition or agreement.
pub const TERMS_MAX: usize = 256;
/// Most members of one mesh.
pub const MEMBERS_MAX: usize = 4096;
/// Most votes of one member about one thing that are remembered, the latest ones.
pub const VOTES_KEPT_MAX: usize = 32;
/// Most profiles in one decision.
pub const PROFILES_MAX: usize = 32;
/// Most requirements in one profile.
pub const REQUIREMENTS_MAX: usize = 64;
/// Deepest nesting of a profile's rule.
pub const RULE_DEPTH_MAX: usize = 8;
/// Most parts of a profile's rule, requirements and nestings together.
pub const RULE_PARTS_MAX: usize = 512;
/// Most patterns, organisations, values or entries in one list of a profile.
pub const PATTERNS_MAX: usize = 64;
/// Most cases in one file beside a profile.
pub const SCENARIOS_MAX: usize = 256;
/// Most mistakes that are named of one file.
pub const REMARKS_MAX: usize = 32;
/// Most evidence statements that one decision weighs.
pub const EVIDENCE_MAX: usize = 1024;
/// Most sets listed by an explanation; what lies beyond is counted.
pub const EXPLANATION_SETS_MAX: usize = 64;
/// Most steps in which the sets of an explanation are found and counted; beyond, it says that it is truncated.
pub const EXPLANATION_STEPS_MAX: usize = 1 << 17;
/// Longest CEL expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 2048;
/// Deepest nesting of a CEL expression.
pub const EXPRESSION_DEPTH_MAX: usize = 32;
/// Most additions in a CEL expression, each of which can make a value longer.
pub const EXPRESSION_SUMS_MAX: usize = 16;
/// Most values in the content of an observation that a CEL expression looks at.
pub const EXPRESSION_VALUES_MAX: usize = 4096;
/// Most compiled expressions that are kept for later decisions.
pub const EXPRESSIONS_KEPT_MAX: usize = 4096;
/// Most pieces of evidence in the cases that are kept prepared for later decisions.
pub const PREPARED_EVIDENCE_MAX: usize = 4096;
/// Largest item of a bundle, in bytes: a manifest that names very many statements.
pub const BUNDLE_ITEM_BYTES_MAX: usize = 16 << 20;
/// Statements of a bundle that a verifier keeps while it reads on, in bytes. Of what exceeds this it keeps what other
/// statements are checked against, and reads the file a second time for the rest that it needs.
pub const BUNDLE_KEPT_BYTES_MAX: usize = 32 << 20;
/// Most sealed claims of one observation.
pub const SEALED_MAX: usize = 256;
/// Longest reason or description in words, in bytes.
pub const PROSE_BYTES_MAX: usize = 4096;
/// Most action classes that cover one request.
pub const ACTION_CLASSES_MAX: usize = 64;
/// Most kinds of harm in one declaration.
pub const HARM_CLASSES_MAX: usize = 64;
/// Most stages of one action class.
pub const STAGES_MAX: usize = 16;
/// Most scope values of one stage.
pub const STAGE_VALUES_MAX: usize = 64;
/// Furthest that lineage is followed from a subject, in edges.
pub const LINEAGE_DEPTH_MAX: usize = 64;
/// Most edges of a lineage that is held in memory, at some 50 bytes each.
pub const LINEAGE_EDGES_MAX: usize = 1 << 24;

const _: () =
    assert!(STATEMENT_BYTES_MAX * 2 < BUNDLE_ITEM_BYTES_MAX && BUNDLE_ITEM_BYTES_MAX < BUNDLE_KEPT_BYTES_MAX);
const _: () = assert!(SUCCESSION_BYTES_MAX < STATEMENT_BYTES_MAX);
const _: () = assert!(RECOVERY_ASKED_MAX * 34 + HEAD_BYTES_MAX < SUCCESSION_BYTES_MAX / 4);
const _: () = assert!(PAYLOAD_BYTES_MAX < STATEMENT_BYTES_MAX);
const _: () = assert!(EVIDENCE_MAX <= PREPARED_EVIDENCE_MAX);
const _: () = assert!(PROFILES_MAX * REQUIREMENTS_MAX <= EXPRESSIONS_KEPT_MAX);
const _: () = assert!(HEAD_BYTES_MAX + NOTE_BYTES_MAX < PAYLOAD_BYTES_MAX);
const _: () = assert!(REFS_MAX * 40 < STATEMENT_BYTES_MAX - PAYLOAD_BYTES_MAX + PAYLOAD_BYTES_MAX / 2);
const _: () = assert!(SUBJECTS_MAX * 40 < PAYLOAD_BYTES_MAX);
const _: () = assert!(EVIDENCE_MAX < EXPLANATION_STEPS_MAX && EXPLANATION_STEPS_MAX < u32::MAX as usize / 16);
