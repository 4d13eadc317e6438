/** The verdict, and its one encoding. */

import { type Bytes, type Hex, fromHex } from "../bytes.js";
import { type Value, encode } from "../cbor.js";
import type { SubjectKey } from "../lineage/edges.js";
import type { Decision } from "../payload/actuation.js";
import type { Weighed, Weight } from "../weighting/weigh.js";
import type { Evidence, Finding, Term, Unheard } from "./evidence.js";

export type Outcome = "admitted" | "unmet" | "unknown" | "vetoed";
export type RequirementState = "met" | "unmet" | "unknown";
export type Scopes = Map<string, string[]>;

export interface Reason {
  code: string;
  text: string;
}

/** One piece of evidence, as one requirement saw it. */
export interface Considered {
  evidence: Evidence;
  weighed: Weighed;
  /** Why it was refused; accepted where there is no reason. */
  refused: Reason[];
}

export interface RequirementOutcome {
  state: RequirementState;
  considered: Considered[];
  /** Organisations that it names, that cannot be heard, and without whom it is not known that it is unmet. */
  unheard: Unheard[];
}

export interface ProfileOutcome {
  profile: string;
  declaredBy: Hex;
  outcome: Outcome;
  requirements: Map<string, RequirementOutcome>;
  vetoes: Finding[];
}

export interface MissingRequirement {
  profile: string;
  requirement: string;
  state: RequirementState;
  wayOut: string;
}

export interface Verdict {
  mode: Decision["mode"];
  scopes: Scopes;
  withheld: Scopes;
  profiles: ProfileOutcome[];
  necessary: Hex[];
  sufficient: { statements: Hex[]; authorities: Hex[] }[];
  sufficientCount: bigint | undefined;
  missing: MissingRequirement[][];
  missingCount: bigint | undefined;
  truncated: boolean;
  weight: Weight | undefined;
  reasons: Reason[];
  /** What governed the action besides profiles, where something did. */
  governed: Governed | undefined;
}

/** What a verdict records of its governance. */
export interface Governed {
  classes: Hex[];
  reversibility: Decision["request"]["reversibility"];
  harm: string[];
  orderings: { declaredBy: Hex; jurisdiction: string; gravity: number; of: number }[];
  stage: { class: Hex; dimension: string; cleared: number; of: number } | undefined;
  degraded: boolean;
  overridden: { statement: Hex; authority: Hex; reason: string; insteadOf: Decision["mode"]; left: number } | undefined;
}

export const text = (text: string): Value => ({ type: "text", text });
export const id = (id: Hex): Value => ({ type: "bytes", bytes: fromHex(id) });
export const array = <T>(items: T[], write: (item: T) => Value): Value => ({ type: "array", items: items.map(write) });
const number = (value: number): Value => ({ type: "int", int: BigInt(value) });

/** A map of those fields that are there. */
export function record(fields: Record<string, Value | undefined>): Value {
  const entries = Object.entries(fields).flatMap(([name, value]): [Value, Value][] =>
    value === undefined ? [] : [[text(name), value]],
  );
  return { type: "map", entries };
}

export function dictionary<T>(items: Map<string, T>, write: (item: T) => Value): Value {
  return { type: "map", entries: [...items].map(([name, item]) => [text(name), write(item)]) };
}

/** An array that is left out where it is empty. */
export function many<T>(items: T[], write: (item: T) => Value): Value | undefined {
  return items.length === 0 ? undefined : array(items, write);
}

export function optional<T>(item: T | undefined, write: (item: T) => Value): Value | undefined {
  return item === undefined ? undefined : write(item);
}

export const scopes = (scopes: Scopes): Value => dictionary(scopes, (values) => array(values, text));
const reason = (reason: Reason): Value => record({ code: text(reason.code), text: text(reason.text) });
const count = (count: bigint): Value => text(String(count));

function weight(weight: Weight): Value {
  return dictionary(new Map(Object.entries(weight)), number);
}

function subject(key: SubjectKey): Value {
  if ("name" in key) return record({ name: text(key.name) });
  if ("statement" in key) return record({ statement: id(key.statement) });
  const { algorithm, value } = key.digest;
  return record({ digest: record({ algorithm: text(algorithm), value: { type: "bytes", bytes: value } }) });
}

function finding(one: Finding): Value {
  return record({
    kind: text(one.kind),
    organisation: id(one.organisation),
    statement: optional(one.statement, id),
    evidence: many(one.evidence, id),
    subjects: many(one.subjects, subject),
    reason: text(one.reason),
  });
}

function term({ foreign, own }: Term): Value {
  return record({ foreign: text(foreign), own: text(own) });
}

function considered({ evidence, weighed, refused }: Considered): Value {
  return record({
    statement: id(evidence.statement),
    authority: id(evidence.authority),
    organisation: id(evidence.organisation),
    translation: optional(evidence.translation, ({ by, role, claim }) =>
      record({ by: id(by), role: optional(role, term), claim: optional(claim, term) }),
    ),
    relation: evidence.path.length === 0 ? text("itself") : record({ reached: array(evidence.path, text) }),
    weighed: record({
      weight: weight(weighed.weight),
      derivation: array(weighed.derivation, ({ dimension, found, value }) =>
        record({ dimension: text(dimension), found: text(found), value: number(value) }),
      ),
    }),
    refused: many(refused, reason),
  });
}

function profile(one: ProfileOutcome): Value {
  return record({
    profile: text(one.profile),
    declared_by: id(one.declaredBy),
    outcome: text(one.outcome),
    requirements: dictionary(one.requirements, (requirement) =>
      record({
        state: text(requirement.state),
        considered: many(requirement.considered, considered),
        unheard: many(requirement.unheard, ({ organisation, since }) =>
          record({ organisation: id(organisation), since: optional(since, (at) => ({ type: "int", int: at })) }),
        ),
      }),
    ),
    vetoes: many(one.vetoes, finding),
  });
}

function missing(one: MissingRequirement): Value {
  return record({
    profile: text(one.profile),
    requirement: text(one.requirement),
    state: text(one.state),
    way_out: text(one.wayOut),
  });
}

function governed(one: Governed): Value {
  return record({
    classes: many(one.classes, id),
    reversibility: text(one.reversibility),
    harm: many(one.harm, text),
    orderings: many(one.orderings, (ordering) =>
      record({
        declared_by: id(ordering.declaredBy),
        jurisdiction: text(ordering.jurisdiction),
        gravity: number(ordering.gravity),
        of: number(ordering.of),
      }),
    ),
    stage: optional(one.stage, (stage) =>
      record({
        class: id(stage.class),
        dimension: text(stage.dimension),
        cleared: number(stage.cleared),
        of: number(stage.of),
      }),
    ),
    degraded: one.degraded ? { type: "bool", bool: true } : undefined,
    overridden: optional(one.overridden, (act) =>
      record({
        statement: id(act.statement),
        authority: id(act.authority),
        reason: text(act.reason),
        instead_of: text(act.insteadOf),
        left: number(act.left),
      }),
    ),
  });
}

export function encodeVerdict(verdict: Verdict): Bytes {
  return encode(
    record({
      mode: text(verdict.mode),
      scopes: scopes(verdict.scopes),
      withheld: verdict.withheld.size === 0 ? undefined : scopes(verdict.withheld),
      profiles: array(verdict.profiles, profile),
      necessary: many(verdict.necessary, id),
      sufficient: many(verdict.sufficient, (set) =>
        record({ statements: array(set.statements, id), authorities: array(set.authorities, id) }),
      ),
      sufficient_count: optional(verdict.sufficientCount, count),
      missing: many(verdict.missing, (set) => array(set, missing)),
      missing_count: optional(verdict.missingCount, count),
      truncated: verdict.truncated ? { type: "bool", bool: true } : undefined,
      weight: optional(verdict.weight, weight),
      reasons: array(verdict.reasons, reason),
      governed: optional(verdict.governed, governed),
    }),
  );
}
