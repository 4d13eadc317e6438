/** Observations: one claim about subjects. */

import { utf8 } from "../bytes.js";
import { LABEL_BYTES_MAX, REFS_MAX, SEALED_MAX, SUBJECTS_MAX } from "../limits.js";
import * as shape from "../shape.js";
import { isAscending } from "../statement.js";
import { rule, subject } from "./parts.js";

const source = shape.record({
  format: shape.required(shape.text),
  document: shape.required(shape.id),
  signature: shape.required(shape.oneOf(["unsigned", "unverified", "verified", "verified-and-logged"])),
  signer: shape.optional(shape.text),
  witnessed: shape.optional(shape.u64),
  checks: shape.many(
    shape.record({
      check: shape.required(shape.text),
      proven: shape.required(shape.bool),
      detail: shape.required(shape.text),
    }),
  ),
});

const observationFields = shape.record({
  claim: shape.required(shape.text),
  subjects: shape.required(shape.list(subject)),
  effective: shape.required(shape.u64),
  expires: shape.optional(shape.u64),
  adverse: shape.otherwise(shape.bool, false),
  content: shape.otherwise(shape.dictionary(shape.text, shape.any), new Map()),
  metrics: shape.many(shape.record({ name: shape.required(shape.text), ppm: shape.required(shape.i64) })),
  derived_from: shape.many(shape.id),
  materials: shape.many(subject),
  source: shape.optional(source),
  // Digests of fields that the author discloses one by one.
  sealed: shape.many(shape.id),
});

export type Observation = ReturnType<typeof observationFields>;

/** A path of lower-case words, such as `evaluation/clinical`. */
export function isClaimType(claim: string): boolean {
  return utf8(claim).length <= LABEL_BYTES_MAX && /^[a-z0-9_.-]+(\/[a-z0-9_.-]+)*$/.test(claim);
}

export const observation: shape.Read<Observation> = (value, where) => {
  const found = observationFields(value, where);
  const subjects = found.subjects.length;
  rule(isClaimType(found.claim), "the claim type is not a path of lower-case words");
  rule(subjects > 0 && subjects <= SUBJECTS_MAX, `${subjects} subjects, where 1 to ${SUBJECTS_MAX} are allowed`);
  rule(found.derived_from.length <= REFS_MAX && found.materials.length <= SUBJECTS_MAX, "it has too many sources");
  rule(found.expires === undefined || found.expires >= found.effective, "it expires before it takes effect");
  rule(
    found.sealed.length <= SEALED_MAX && isAscending(found.sealed),
    `sealed claims are too many (at most ${SEALED_MAX}), repeated, or not in order`,
  );
  return found;
};
