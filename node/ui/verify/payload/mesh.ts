/** Payloads that tie organisations together: charters, votes, recognitions, links, counterfoils, anchors, recalls. */

import { type Bytes, utf8 } from "../bytes.js";
import { KINDS, isStanding } from "../kind.js";
import { LABEL_BYTES_MAX, MEMBERS_MAX, NOTE_BYTES_MAX, PARTIES_MAX, TERMS_MAX } from "../limits.js";
import * as shape from "../shape.js";
import { isAscending } from "../statement.js";
import { isClaimType } from "./observation.js";
import { isLabel, rule, subject, texts } from "./parts.js";

const terms = {
  "admission-threshold": shape.required(shape.upTo(0xffff)),
  "amendment-threshold": shape.optional(shape.upTo(0xffff)),
  "witness-quorum": shape.required(shape.upTo(0xffff)),
  witnesses: shape.optional(shape.upTo(0xffff)),
  "freshness-s": shape.required(shape.u64),
  "link-answer-s": shape.required(shape.u64),
  "on-fork": shape.otherwise(shape.oneOf(["quarantine", "keep"]), "quarantine"),
};

const termFields = shape.record(terms);

/** What a charter says beside its name and founders, and what an amendment may change. */
export type Terms = ReturnType<typeof termFields>;

const charterFields = shape.record({
  name: shape.required(shape.text),
  members: shape.required(shape.list(shape.id)),
  ...terms,
});

export type Charter = ReturnType<typeof charterFields>;

function checkTerms(found: Terms): void {
  rule(found["admission-threshold"] > 0, "admission-threshold must be at least 1");
  rule(found["amendment-threshold"] !== 0, "amendment-threshold must be at least 1");
  rule(found.witnesses !== 0, "witnesses must be at least 1");
  rule(found["freshness-s"] > 0n, "freshness-s must be at least 1");
  rule(found["link-answer-s"] > 0n, "link-answer-s must be at least 1");
}

/** The most votes that anything needs under these terms. */
export function highestThreshold(found: Terms): number {
  return Math.max(found["admission-threshold"], found["amendment-threshold"] ?? 0);
}

export const charter: shape.Read<Charter> = (value, where) => {
  const found = charterFields(value, where);
  const members = found.members.length;
  rule(isLabel(found.name), "a mesh name has 1 to 256 bytes");
  rule(
    members > 0 && members <= MEMBERS_MAX && new Set(found.members).size === members,
    `${members} founding members, where 1 to ${MEMBERS_MAX} different ones are allowed`,
  );
  rule(highestThreshold(found) <= members, "a threshold cannot be met by the founding members");
  checkTerms(found);
  return found;
};

const amendmentFields = shape.record({
  mesh: shape.required(shape.id),
  version: shape.required(shape.u64),
  terms: shape.required(termFields),
});

export const amendment: typeof amendmentFields = (value, where) => {
  const found = amendmentFields(value, where);
  checkTerms(found.terms);
  return found;
};

export const invitation = shape.record({
  mesh: shape.required(shape.id),
  organisation: shape.optional(shape.id),
  expires: shape.required(shape.u64),
});

export const leave = shape.record({ mesh: shape.required(shape.id) });

export const join = shape.record({ mesh: shape.required(shape.id), invitation: shape.optional(shape.id) });

export const admission = shape.record({
  mesh: shape.required(shape.id),
  organisation: shape.required(shape.id),
  ballot: shape.required(shape.oneOf(["admit", "expel"])),
  after: shape.optional(shape.id),
});

const recognitionFields = shape.record({
  organisation: shape.required(shape.id),
  claims: shape.required(shape.list(shape.text)),
  roles: shape.many(shape.text),
  "role-map": shape.otherwise(texts, new Map()),
  "claim-map": shape.otherwise(texts, new Map()),
  "authority-cap": shape.optional(shape.upTo(1_000_000)),
  withdrawn: shape.otherwise(shape.bool, false),
});

export type Recognition = ReturnType<typeof recognitionFields>;

export const recognition: typeof recognitionFields = (value, where) => {
  const found = recognitionFields(value, where);
  const { claims, roles } = found;
  const [roleMap, claimMap] = [found["role-map"], found["claim-map"]];
  rule(claims.length + claimMap.size > 0, "a recognition names or maps at least one claim");
  const count = claims.length + roles.length + roleMap.size + claimMap.size;
  rule(count <= TERMS_MAX, `${count} roles and claims, more than the ${TERMS_MAX} of one recognition`);
  rule([...roles, ...claims, ...[...roleMap].flat()].every(isLabel), "a role has 1 to 256 bytes");
  rule([...claimMap].flat().every(isClaimType), "a mapped claim is no claim type");
  const maps = roleMap.size > 0 || claimMap.size > 0 || found["authority-cap"] !== undefined;
  rule(!(found.withdrawn && maps), "a recognition that is withdrawn maps and caps nothing");
  return found;
};

const agreementFields = shape.record({
  parties: shape.required(shape.list(shape.id)),
  kinds: shape.required(shape.list(shape.oneOf(KINDS))),
  subjects: shape.many(shape.text),
  jurisdictions: shape.many(shape.text),
  from: shape.required(shape.u64),
  until: shape.optional(shape.u64),
  "link-answer-s": shape.optional(shape.u64),
  purpose: shape.otherwise(shape.text, ""),
});

export type Agreement = ReturnType<typeof agreementFields>;

export const agreement: typeof agreementFields = (value, where) => {
  const found = agreementFields(value, where);
  const { parties, kinds, subjects, jurisdictions, from, until, purpose } = found;
  rule(
    parties.length >= 2 && parties.length <= PARTIES_MAX && isAscending(parties),
    `${parties.length} parties, where 2 to ${PARTIES_MAX} different ones in the order of their ids are allowed`,
  );
  const crosses = kinds.length > 0 && kinds.length <= KINDS.length && !kinds.some(isStanding);
  rule(crosses, "an agreement names kinds of statements, and no standing ones: those are for the whole mesh");
  const patterns = [...subjects, ...jurisdictions];
  rule(
    patterns.length <= TERMS_MAX && patterns.every(isLabel) && utf8(purpose).length <= LABEL_BYTES_MAX,
    `an agreement has at most ${TERMS_MAX} subjects and jurisdictions, of 1 to ${LABEL_BYTES_MAX} bytes each`,
  );
  rule(until === undefined || until >= from, "it ends before it begins");
  rule(found["link-answer-s"] !== 0n, "link-answer-s must be at least 1");
  return found;
};

export const acceptance = shape.record({
  agreement: shape.required(shape.id),
  withdrawn: shape.otherwise(shape.bool, false),
});

function checkHalf(text: string, receipt: Bytes, checkpoint: Bytes): void {
  rule(utf8(text).length <= LABEL_BYTES_MAX, `a purpose or reason has at most ${LABEL_BYTES_MAX} bytes`);
  rule(
    receipt.length <= NOTE_BYTES_MAX && checkpoint.length <= NOTE_BYTES_MAX,
    `a receipt or checkpoint has at most ${NOTE_BYTES_MAX} bytes`,
  );
}

const linkFields = shape.record({
  target: shape.required(
    shape.record({
      organisation: shape.required(shape.id),
      position: shape.required(shape.u64),
      statement: shape.required(shape.id),
      receipt: shape.required(shape.bytes),
      checkpoint: shape.required(shape.bytes),
    }),
  ),
  relation: shape.required(
    shape.oneOf([
      "uses",
      "derived-from",
      "supplies",
      "approves",
      "assesses",
      "supersedes",
      "disputes",
      "responds-to",
    ]),
  ),
  from: shape.optional(shape.id),
  purpose: shape.required(shape.text),
  agreement: shape.optional(shape.id),
});

export const link: typeof linkFields = (value, where) => {
  const found = linkFields(value, where);
  checkHalf(found.purpose, found.target.receipt, found.target.checkpoint);
  return found;
};

const refusal = shape.choice({ refused: shape.text });

const counterfoilFields = shape.record({
  link: shape.required(shape.id),
  organisation: shape.required(shape.id),
  position: shape.required(shape.u64),
  receipt: shape.required(shape.bytes),
  checkpoint: shape.required(shape.bytes),
  answer: shape.required((value, where) =>
    value.type === "text" ? shape.oneOf(["accepted"])(value, where) : refusal(value, where),
  ),
});

export const counterfoil: typeof counterfoilFields = (value, where) => {
  const found = counterfoilFields(value, where);
  checkHalf(found.answer === "accepted" ? "" : found.answer.value, found.receipt, found.checkpoint);
  return found;
};

const anchorFields = shape.record({
  heads: shape.required(
    shape.list(
      shape.record({
        organisation: shape.required(shape.id),
        head: shape.required(shape.id),
        size: shape.required(shape.u64),
        checkpoint: shape.required(shape.bytes),
      }),
    ),
  ),
});

export type Anchor = ReturnType<typeof anchorFields>;

export const anchor: shape.Read<Anchor> = (value, where) => {
  const found = anchorFields(value, where);
  const heads = found.heads.length;
  rule(heads > 0 && heads <= MEMBERS_MAX, `${heads} heads, where 1 to ${MEMBERS_MAX} are allowed`);
  rule(isAscending(found.heads.map((head) => head.organisation)), "heads are repeated or out of order");
  rule(found.heads.every((head) => head.checkpoint.length <= NOTE_BYTES_MAX), "a checkpoint is too long");
  return found;
};

export const recall = shape.record({
  statement: shape.required(shape.id),
  subjects: shape.required(shape.list(subject)),
  reason: shape.required(shape.text),
});

export const acknowledgement = shape.record({
  recall: shape.required(shape.id),
  head: shape.required(shape.id),
  decisions: shape.required(shape.list(shape.id)),
  permits: shape.required(shape.list(shape.id)),
  response: shape.required(shape.oneOf(["unaffected", "noted"])),
});
