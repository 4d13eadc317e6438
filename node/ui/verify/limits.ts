/** The maxima of the format: what lies above them is refused before it is read. */

export const BUNDLE_ITEM_BYTES_MAX = 16 * 1024 * 1024;
export const STATEMENT_BYTES_MAX = 192 * 1024;
export const PAYLOAD_BYTES_MAX = STATEMENT_BYTES_MAX - 8 * 1024;
export const HEAD_BYTES_MAX = 4 * 1024;
export const NOTE_BYTES_MAX = 32 * 1024;
export const NOTE_SIGNATURES_MAX = 128;
export const LABEL_BYTES_MAX = 256;
export const EXPRESSION_BYTES_MAX = 2048;
export const EXPRESSION_DEPTH_MAX = 32;
export const EXPRESSION_SUMS_MAX = 16;
/** Most values of an observation's content that an expression looks at. */
export const EXPRESSION_VALUES_MAX = 4096;
export const CBOR_DEPTH_MAX = 24;
export const CBOR_ITEMS_MAX = 64 * 1024;
export const REFS_MAX = 256;
export const ROOT_KEYS_MAX = 16;
export const APPROVERS_MAX = 32;
export const SUBJECTS_MAX = 1024;
export const SEALED_MAX = 256;
export const DISCLOSED_MAX = 4096;
export const MEMBERS_MAX = 4096;
export const TERMS_MAX = 256;
export const PARTIES_MAX = 64;
export const PROFILES_MAX = 32;
export const EVIDENCE_MAX = 1024;
/** Most sets that an explanation lists. */
export const EXPLANATION_SETS_MAX = 64;
/** Most steps in which the sets of an explanation are found and counted. */
export const EXPLANATION_STEPS_MAX = 1 << 17;
export const REQUIREMENTS_MAX = 64;
export const RULE_DEPTH_MAX = 8;
export const RULE_PARTS_MAX = 512;
export const PATTERNS_MAX = 64;
export const LINEAGE_DEPTH_MAX = 64;
export const PROSE_BYTES_MAX = 4096;
export const ACTION_CLASSES_MAX = 64;
export const HARM_CLASSES_MAX = 64;
export const STAGES_MAX = 16;
export const STAGE_VALUES_MAX = 64;
export const PROOF_HASHES_MAX = 63;
export const SUCCESSION_BYTES_MAX = 96 * 1024;
export const RECOVERY_ASKED_MAX = 256;
export const MISBEHAVIOUR_BYTES_MAX = STATEMENT_BYTES_MAX + 2 * NOTE_BYTES_MAX + 2 * PROOF_HASHES_MAX * 34 + 1024;
