/** What payloads of several kinds are made of. */

import { utf8 } from "../bytes.js";
import { LABEL_BYTES_MAX } from "../limits.js";
import * as shape from "../shape.js";

/** A payload that has its kind's shape, and breaks a rule of its kind. */
export class PayloadError extends Error {}

export function rule(holds: boolean, otherwise: string): void {
  if (!holds) throw new PayloadError(otherwise);
}

/** A label that says something: 1 to 256 bytes. */
export function isLabel(text: string): boolean {
  return text !== "" && utf8(text).length <= LABEL_BYTES_MAX;
}

const DIGEST_BYTES = { sha256: 32, sha384: 48, sha512: 64, blake3: 32 } as const;

const rawDigest = shape.record({
  algorithm: shape.required(shape.oneOf(["sha256", "sha512", "sha384", "blake3"])),
  value: shape.required(shape.bytes),
});

const artifactDigest: typeof rawDigest = (value, where) => {
  const digest = rawDigest(value, where);
  const length = DIGEST_BYTES[digest.algorithm];
  rule(digest.value.length === length, `${where}: a ${digest.algorithm} digest has ${length} bytes`);
  return digest;
};

/** An artifact by digest, something known by name only, or a statement. */
export const subject = shape.choice({
  artifact: shape.record({ digest: shape.required(artifactDigest), label: shape.optional(shape.text) }),
  named: shape.text,
  statement: shape.id,
});

export type Subject = ReturnType<typeof subject>;

export const mode = shape.oneOf(["continue", "partial", "defer", "refuse"]);

export const reversibility = shape.oneOf(["reversible", "compensable", "irreversible"]);

/** Values by dimension. */
export const scopes = shape.dictionary(shape.text, shape.list(shape.text));

/** Texts by name. */
export const texts = shape.dictionary(shape.text, shape.text);

/** Whether a pattern, which may end in a star, is fulfilled by a text. */
export function matches(pattern: string, text: string): boolean {
  return pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : pattern === text;
}
