/** Profiles, declared policies, and the activations that put them into force. */

import { utf8 } from "../bytes.js";
import type { Value } from "../cbor.js";
import {
  EXPRESSION_BYTES_MAX,
  LABEL_BYTES_MAX,
  LINEAGE_DEPTH_MAX,
  PATTERNS_MAX,
  REQUIREMENTS_MAX,
  RULE_DEPTH_MAX,
  RULE_PARTS_MAX,
} from "../limits.js";
import * as shape from "../shape.js";
import { AUTHORITY_KINDS } from "./identity.js";
import { isLabel, mode, reversibility, rule, scopes } from "./parts.js";

const u32 = shape.upTo(0xffff_ffff);

/** Kinds of edges, in their order. */
export const EDGES = [
  "about",
  "derived-from",
  "generated-by",
  "used",
  "evidence-for",
  "decided-by",
  "actuated-by",
  "effect-of",
  "supersedes",
  "links-to",
  "acknowledges",
  "recalled-by",
] as const;

const edge = shape.oneOf(EDGES);

/** Components of a weight, in their order. */
export const DIMENSIONS = ["quality", "provenance", "recency", "authority", "corroboration"] as const;

const dimension = shape.oneOf(DIMENSIONS);

const requirement = shape.record({
  claims: shape.required(shape.list(shape.text)),
  organisations: shape.many(shape.id),
  roles: shape.many(shape.text),
  kinds: shape.many(shape.oneOf(AUTHORITY_KINDS)),
  unrecognised: shape.otherwise(shape.bool, false),
  reached: shape.optional(
    shape.record({ edges: shape.required(shape.list(edge)), depth: shape.required(shape.upTo(255)) }),
  ),
  floors: shape.otherwise(shape.dictionary(dimension, shape.upTo(1_000_000)), new Map()),
  "max-age-days": shape.optional(u32),
  expression: shape.optional(shape.text),
  distinct: shape.otherwise(shape.upTo(255), 1),
  owner: shape.optional(shape.text),
});

export type Requirement = ReturnType<typeof requirement>;

/** How many of the parts have to hold; a requirement by its name. */
export type Rule = string | { need: number; of: Rule[] };

const threshold = {
  all: shape.record({ all: shape.required(shape.list(shape.any)) }),
  any: shape.record({ any: shape.required(shape.list(shape.any)) }),
  at_least: shape.record({
    at_least: shape.required(shape.upTo(0xffff)),
    of: shape.required(shape.list(shape.any)),
  }),
};

function readRule(value: Value, where: string, depth: number): Rule {
  rule(depth <= RULE_DEPTH_MAX, `the rule is nested deeper than ${RULE_DEPTH_MAX} levels`);
  if (value.type === "text") return value.text;
  const has = (name: string): boolean =>
    shape.entries(value, where).some(([key]) => key.type === "text" && key.text === name);
  const [need, parts] = has("all")
    ? [undefined, threshold.all(value, where).all]
    : has("any")
      ? [1, threshold.any(value, where).any]
      : [threshold.at_least(value, where).at_least, threshold.at_least(value, where).of];
  const of = parts.map((part, at) => readRule(part, `${where}[${at}]`, depth + 1));
  const found = { need: need ?? of.length, of };
  rule(
    found.need > 0 && found.need <= of.length && of.length <= REQUIREMENTS_MAX,
    `at_least ${found.need} of ${of.length} can never decide anything`,
  );
  return found;
}

const profileFields = shape.record({
  id: shape.required(shape.text),
  version: shape.required(shape.u64),
  title: shape.required(shape.text),
  family: shape.required(shape.text),
  jurisdictions: shape.many(shape.text),
  actions: shape.required(shape.list(shape.text)),
  "half-life-days": shape.otherwise(shape.dictionary(shape.text, u32), new Map()),
  quality: shape.otherwise(
    shape.dictionary(shape.text, shape.record({ floor: shape.required(shape.i64), target: shape.required(shape.i64) })),
    new Map(),
  ),
  requirements: shape.required(shape.dictionary(shape.text, requirement)),
  rule: shape.required<Rule>((value, where) => readRule(value, where, 0)),
  vetoes: shape.many(shape.oneOf(["recall", "adverse", "fork", "dispute"])),
  limits: shape.many(
    shape.record({
      unless: shape.required(shape.text),
      dimension: shape.required(shape.text),
      allow: shape.required(shape.list(shape.text)),
    }),
  ),
  missing: shape.otherwise(shape.dictionary(reversibility, mode), new Map()),
  degraded: shape.otherwise(scopes, new Map()),
  overrides: shape.optional(
    shape.record({
      forbidden: shape.many(shape.text),
      vetoes: shape.many(shape.oneOf(["recall", "adverse", "fork", "dispute"])),
      irreversible: shape.otherwise(shape.bool, false),
    }),
  ),
});

export type Profile = ReturnType<typeof profileFields>;

function names(rule: Rule): string[] {
  return typeof rule === "string" ? [rule] : rule.of.flatMap(names);
}

function parts(rule: Rule): number {
  return typeof rule === "string" ? 1 : rule.of.reduce((sum, part) => sum + parts(part), 1);
}

const CLAIM_TYPE = /^[a-z0-9._-]+(\/[a-z0-9._-]+)*$/;

/** A word, or the beginning of one before a star; for claims one that fits a claim type. */
function checkPattern(pattern: string, isClaim: boolean): void {
  rule(isLabel(pattern), `a pattern has 1 to ${LABEL_BYTES_MAX} bytes`);
  const isWhole = !pattern.endsWith("*");
  const beginning = isWhole ? pattern : pattern.slice(0, -1);
  rule(!beginning.includes("*"), `${pattern}: a star stands at the end of a pattern and nowhere else`);
  rule(!isClaim || CLAIM_TYPE.test(isWhole ? beginning : `${beginning}x`), `${pattern} fits no claim type`);
}

function checkPatterns(patterns: string[], isClaim: boolean): void {
  checkCount("patterns", patterns.length);
  patterns.forEach((pattern) => checkPattern(pattern, isClaim));
}

function checkCount(what: string, found: number): void {
  rule(found <= PATTERNS_MAX, `${found} ${what}, where at most ${PATTERNS_MAX} are allowed`);
}

function checkRequirement(name: string, wanted: Requirement): void {
  const depth = wanted.reached?.depth ?? 1;
  rule(isLabel(name), "a requirement's name has 1 to 256 bytes");
  rule(
    wanted.claims.length > 0 && wanted.distinct > 0 && depth > 0 && depth <= LINEAGE_DEPTH_MAX,
    `requirement ${name} names no claim, or asks for no authority`,
  );
  rule(wanted.reached?.edges.length !== 0, `requirement ${name} names no edge`);
  checkPatterns(wanted.claims, true);
  checkPatterns(wanted.roles, false);
  checkCount("organisations", wanted.organisations.length);
  checkCount("kinds", wanted.kinds.length);
  checkCount("edges", wanted.reached?.edges.length ?? 0);
  rule(utf8(wanted.expression ?? "").length <= EXPRESSION_BYTES_MAX, `the expression of ${name} is too long`);
  rule(wanted.owner === undefined || isLabel(wanted.owner), "an owner has 1 to 256 bytes");
}

export const profile: shape.Read<Profile> = (value, where) => {
  const found = profileFields(value, where);
  for (const text of [found.id, found.title, found.family]) {
    rule(isLabel(text), "id, title and family have 1 to 256 bytes");
  }
  const requirements = found.requirements.size;
  rule(requirements > 0 && requirements <= REQUIREMENTS_MAX, `${requirements} requirements, where 1 to ${REQUIREMENTS_MAX} are allowed`);
  rule(found.version > 0n, "versions are counted from 1");
  rule(found.actions.length > 0, "it applies to no action");
  checkPatterns(found.actions, false);
  checkCount("jurisdictions", found.jurisdictions.length);
  checkCount("half-lives", found["half-life-days"].size);
  for (const pattern of found["half-life-days"].keys()) checkPattern(pattern, true);
  checkCount("metrics", found.quality.size);
  for (const name of found.quality.keys()) rule(isLabel(name), "a metric's name has 1 to 256 bytes");
  for (const [name, wanted] of found.requirements) checkRequirement(name, wanted);
  rule(parts(found.rule) <= RULE_PARTS_MAX, `the rule has more than ${RULE_PARTS_MAX} parts`);
  checkCount("limits", found.limits.length);
  for (const limit of found.limits) {
    rule(isLabel(limit.dimension), "a dimension has 1 to 256 bytes");
    checkCount("values", limit.allow.length);
  }
  for (const name of [...names(found.rule), ...found.limits.map((limit) => limit.unless)]) {
    rule(found.requirements.has(name), `requirement ${name} is not declared`);
  }
  for (const way of found.missing.values()) {
    rule(way === "defer" || way === "refuse", `missing information leads to defer or refuse, not to ${way}`);
  }
  return found;
};

const composed = shape.choice({
  weighted: shape.record({
    weights: shape.required(shape.dictionary(shape.text, u32)),
    threshold: shape.required(u32),
  }),
  hierarchical: shape.record({ order: shape.required(shape.list(shape.text)) }),
});

/** How several profiles make one verdict. */
export type Composition = { kind: "intersection" } | ReturnType<typeof composed>;

const intersection = shape.oneOf(["intersection"]);

const composition: shape.Read<Composition> = (value, where) =>
  value.type === "text" ? { kind: intersection(value, where) } : composed(value, where);

export const activation = shape.record({
  profiles: shape.required(shape.list(shape.id)),
  composition: shape.required(composition),
});

export type Activation = ReturnType<typeof activation>;
