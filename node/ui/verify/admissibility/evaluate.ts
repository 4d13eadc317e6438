/** From a case to a verdict: a pure function of profiles, evidence, request and time, in integers alone. */

import { type Hex, compareText, utf8 } from "../bytes.js";
import { show } from "../ids.js";
import { EVIDENCE_MAX, LABEL_BYTES_MAX, PROFILES_MAX, SUBJECTS_MAX } from "../limits.js";
import { keyOf, shown, sortable } from "../lineage/edges.js";
import type { Decision, Request } from "../payload/actuation.js";
import { matches } from "../payload/parts.js";
import { type Composition, DIMENSIONS, type Profile, type Requirement, type Rule } from "../payload/profile.js";
import type { Weight } from "../weighting/weigh.js";
import { assess } from "./assess.js";
import type { Case, DeclaredProfile, Evidence, Finding, Unheard } from "./evidence.js";
import { govern, reversibilityOf } from "./govern.js";
import { isTruncated, minimalSets } from "./sets.js";
import { type Tree, all, atLeast, isSatisfied } from "./tree.js";
import type { MissingRequirement, ProfileOutcome, Reason, RequirementState, Scopes, Verdict } from "./verdict.js";

/** A case that cannot be evaluated at all. */
export class CaseError extends Error {}

function suppose(holds: boolean, otherwise: string): void {
  if (!holds) throw new CaseError(otherwise);
}

const byId = (one: Hex, other: Hex): number => (one < other ? -1 : one > other ? 1 : 0);

/** Without those that are equal to the one before. */
function distinct<T>(items: T[], same: (one: T, other: T) => boolean): T[] {
  return items.filter((item, at) => {
    const before = items[at - 1];
    return at === 0 || before === undefined || !same(before, item);
  });
}

export function evaluate(input: Case): Verdict {
  checkRequest(input.request);
  const { action } = input.request;
  const applying = input.profiles
    .filter(({ profile }) => profile.actions.some((pattern) => matches(pattern, action)))
    .sort((one, other) => compareText(one.profile.id, other.profile.id) || byId(one.declaredBy, other.declaredBy));
  const profiles = distinct(applying, (one, other) => one.declaredBy === other.declaredBy);
  suppose(profiles.length > 0, `no active profile applies to action ${JSON.stringify(action)}`);
  suppose(profiles.length <= PROFILES_MAX, `${profiles.length} profiles, more than the ${PROFILES_MAX} that one decision weighs`);
  const given = input.evidence.length;
  suppose(given <= EVIDENCE_MAX, `${given} pieces of evidence, more than the ${EVIDENCE_MAX} that one decision weighs`);
  const sorted = [...input.evidence].sort((one, other) => byId(one.statement, other.statement));
  const evidence = distinct(sorted, (one, other) => one.statement === other.statement);
  const findings = distinct([...input.findings].sort(compareFindings), (one, other) => compareFindings(one, other) === 0);
  const assessed = profiles.map((declared) => new Assessed(input, declared, evidence, findings));
  const trees = composeAll(assessed, input.composition);
  return govern(input, profiles, conclude(input, evidence, assessed, trees));
}

function checkRequest({ subjects, action, actuator }: Request): void {
  suppose(subjects.length > 0 && subjects.length <= SUBJECTS_MAX, `a request has 1 to ${SUBJECTS_MAX} subjects`);
  for (const text of [action, actuator]) {
    suppose(text !== "" && utf8(text).length <= LABEL_BYTES_MAX, `action and actuator have 1 to ${LABEL_BYTES_MAX} bytes`);
  }
}

const FINDINGS = ["recall", "adverse", "fork", "dispute"];

function compareLists<T>(one: T[], other: T[], compare: (one: T, other: T) => number): number {
  for (const [at, item] of one.entries()) {
    const opposite = other[at];
    const difference = opposite === undefined ? 1 : compare(item, opposite);
    if (difference !== 0) return difference;
  }
  return one.length - other.length;
}

function compareFindings(one: Finding, other: Finding): number {
  return (
    FINDINGS.indexOf(one.kind) - FINDINGS.indexOf(other.kind) ||
    byId(one.organisation, other.organisation) ||
    byId(one.statement ?? "", other.statement ?? "") ||
    compareLists(one.evidence, other.evidence, byId) ||
    compareLists(one.subjects, other.subjects, (a, b) => compareText(sortable(a), sortable(b))) ||
    compareText(one.reason, other.reason)
  );
}

/** One profile with its requirements assessed. */
class Assessed {
  readonly profile: Profile;
  readonly outcome: ProfileOutcome;
  /** The requirements in the order of their names. */
  readonly requirements: [string, Requirement][];
  /** For each requirement, the tree over evidence that shows it. */
  readonly shownBy = new Map<string, Tree>();

  constructor(input: Case, { declaredBy, profile }: DeclaredProfile, evidence: Evidence[], findings: Finding[]) {
    this.profile = profile;
    this.requirements = [...profile.requirements].sort(([one], [other]) => compareText(one, other));
    // What speaks against a subject, or is disputed, stands as evidence.
    const withdraws = ({ kind }: Finding): boolean => kind === "recall" || kind === "fork";
    const recalled = new Set(findings.filter(withdraws).flatMap((finding) => finding.evidence));
    const requirements: ProfileOutcome["requirements"] = new Map();
    for (const [name, requirement] of this.requirements) {
      const [outcome, tree] = assess(input, profile, requirement, evidence, recalled);
      requirements.set(name, outcome);
      this.shownBy.set(name, tree);
    }
    const vetoes = findings.filter(({ kind }) => profile.vetoes.includes(kind));
    this.outcome = { profile: profile.id, declaredBy, outcome: "unmet", requirements, vetoes };
    const isSatisfiedBy = (states: RequirementState[]): boolean =>
      isSatisfied(ruleTree(profile.rule, (name) => states.includes(this.state(name))), () => false);
    // Unknown is never good: it is told apart from unmet, and admits nothing.
    this.outcome.outcome =
      vetoes.length > 0
        ? "vetoed"
        : isSatisfiedBy(["met"])
          ? "admitted"
          : isSatisfiedBy(["met", "unknown"])
            ? "unknown"
            : "unmet";
  }

  state(requirement: string): RequirementState {
    return this.outcome.requirements.get(requirement)?.state ?? "unmet";
  }
}

export function ruleTree(rule: Rule, leaf: (name: string) => Tree): Tree {
  return typeof rule === "string" ? leaf(rule) : atLeast(rule.need, rule.of.map((part) => ruleTree(part, leaf)));
}

/** A rule over requirements, and what its leaves stand for. */
interface Missing {
  missing: Tree;
  leaves: { assessed: Assessed; name: string; requirement: Requirement }[];
}

/** The whole rule: over evidence, what is sufficient; over requirements that are not met, what is missing. */
interface Trees extends Missing {
  evidence: Tree;
}

function composeAll(assessed: Assessed[], composition: Composition): Trees {
  const leaves: Trees["leaves"] = [];
  const missing = assessed.map((one) => {
    const numbers = new Map<string, number>();
    for (const [name, requirement] of one.requirements) {
      if (one.state(name) !== "met") numbers.set(name, leaves.push({ assessed: one, name, requirement }) - 1);
    }
    return ruleTree(one.profile.rule, (name) => {
      const leaf = numbers.get(name);
      return leaf === undefined ? true : { leaf };
    });
  });
  const evidence = assessed.map((one) => ruleTree(one.profile.rule, (name) => one.shownBy.get(name) ?? false));
  const ids = assessed.map((one) => one.profile.id);
  return { evidence: compose(composition, ids, evidence), missing: compose(composition, ids, missing), leaves };
}

export function compose(composition: Composition, ids: string[], trees: Tree[]): Tree {
  if (composition.kind === "intersection") return all(trees);
  const named = composition.kind === "weighted" ? [...composition.value.weights.keys()] : composition.value.order;
  const unknown = named.find((id) => !ids.includes(id));
  suppose(unknown === undefined, `the composition names profile ${JSON.stringify(unknown)}, which is not among those that apply`);
  // What a lower profile narrows it withholds altogether, and what a higher one refuses no lower one admits: all are asked.
  if (composition.kind === "hierarchical") return all(trees);
  const { weights, threshold } = composition.value;
  const parts = trees.map((tree, at) => ({ weight: weights.get(ids[at] ?? "") ?? 0, tree }));
  return { need: Math.max(1, threshold), parts };
}

function conclude(input: Case, evidence: Evidence[], assessed: Assessed[], trees: Trees): Verdict {
  const isVetoed = assessed.some(({ outcome }) => outcome.outcome === "vetoed");
  const isAdmitted = !isVetoed && isSatisfied(trees.evidence, () => true);
  const reasons: Reason[] = [];
  let granted: [Scopes, Scopes] = [new Map(), new Map()];
  let mode: Decision["mode"];
  /** What would lift the limits, where they defer what the rules admit. */
  let lifting: Missing | undefined;
  if (isVetoed) {
    mode = "refuse";
    for (const { outcome } of assessed) reasons.push(...outcome.vetoes.map((veto) => vetoed(outcome.profile, veto)));
  } else if (isAdmitted) {
    granted = admittedScopes(input, assessed, reasons);
    const [scopes, withheld] = granted;
    if (withheld.size === 0) {
      mode = "continue";
      reasons.push({ code: "admitted", text: "every profile that is asked for admits" });
    } else if ([...scopes.values()].some((values) => values.length === 0)) {
      mode = "defer";
      reasons.push({ code: "nothing-left", text: "the limits leave nothing of a requested scope" });
      lifting = somethingLeft(input, assessed);
    } else if (reversibilityOf(input) === "irreversible" && isUnknown(limitsOn(input, assessed))) {
      // Not even for the scopes that it does not concern.
      mode = "defer";
      const text = "what would lift a limit is unknown, and the action is irreversible";
      reasons.push({ code: "unknown-irreversible", text });
      lifting = everythingKnown(limitsOn(input, assessed));
    } else mode = "partial";
  } else mode = missingMode(input, assessed, reasons);
  if (mode !== "continue" && mode !== "partial") {
    const requested = input.request.scopes;
    granted = [new Map([...requested.keys()].map((dimension) => [dimension, []])), requested];
  }
  const [scopes, withheld] = granted;
  return {
    mode,
    scopes,
    withheld,
    profiles: assessed.map(({ outcome }) => outcome),
    necessary: [],
    sufficient: [],
    sufficientCount: undefined,
    missing: [],
    missingCount: undefined,
    truncated: false,
    weight: undefined,
    reasons,
    governed: undefined,
    ...explained(),
  };

  function explained(): Partial<Verdict> {
    if (lifting !== undefined) return whatIsMissing(input, lifting);
    if (isAdmitted) return whatSuffices(evidence, assessed, trees.evidence);
    return isVetoed ? {} : whatIsMissing(input, trees);
  }
}

/** The limits that a request runs into, each with the leaf of the requirement that would lift it. */
interface Limits {
  limits: { limit: Profile["limits"][number]; leaf: number }[];
  leaves: Missing["leaves"];
}

function limitsOn(input: Case, assessed: Assessed[]): Limits {
  const found: Limits = { limits: [], leaves: [] };
  for (const one of assessed) {
    for (const limit of one.profile.limits) {
      const requirement = one.profile.requirements.get(limit.unless);
      if (one.state(limit.unless) === "met" || !input.request.scopes.has(limit.dimension) || requirement === undefined) continue;
      const known = found.leaves.findIndex((leaf) => leaf.assessed.profile.id === one.profile.id && leaf.name === limit.unless);
      const leaf = known >= 0 ? known : found.leaves.push({ assessed: one, name: limit.unless, requirement }) - 1;
      found.limits.push({ limit, leaf });
    }
  }
  return found;
}

/** What it takes for the limits to leave a value of each dimension that is asked for. */
function somethingLeft(input: Case, assessed: Assessed[]): Missing {
  const { limits, leaves } = limitsOn(input, assessed);
  const dimensions = [...input.request.scopes].sort(([one], [other]) => compareText(one, other));
  const trees = dimensions.map(([dimension, values]) =>
    atLeast(
      1,
      values.map((value: string) => {
        const out = limits.filter(({ limit }) => limit.dimension === dimension && !limit.allow.includes(value));
        return all(out.map(({ leaf }) => ({ leaf })));
      }),
    ),
  );
  return { missing: all(trees), leaves };
}

function isUnknown({ leaves }: Limits): boolean {
  return leaves.some(({ assessed, name }) => assessed.state(name) === "unknown");
}

/** What it takes for nothing to be unknown about the limits. */
function everythingKnown({ leaves }: Limits): Missing {
  const unknown = [...leaves.entries()].filter(([, { assessed, name }]) => assessed.state(name) === "unknown");
  return { missing: all(unknown.map(([leaf]) => ({ leaf }))), leaves };
}

function vetoed(profile: string, { kind, organisation, reason }: Finding): Reason {
  return { code: "veto", text: `profile ${profile}: ${kind} by ${show("org", organisation)}: ${reason}` };
}

/** The requested scopes, and what of them the limits withhold. */
function admittedScopes(input: Case, assessed: Assessed[], reasons: Reason[]): [Scopes, Scopes] {
  const scopes: Scopes = new Map(input.request.scopes);
  const withheld: Scopes = new Map();
  for (const one of assessed) {
    for (const { unless, dimension, allow } of one.profile.limits) {
      const values = scopes.get(dimension);
      if (one.state(unless) === "met" || values === undefined) continue;
      scopes.set(dimension, values.filter((value) => allow.includes(value)));
      const out = values.filter((value) => !allow.includes(value));
      if (out.length === 0) continue;
      withheld.set(dimension, [...(withheld.get(dimension) ?? []), ...out]);
      const text = `profile ${one.profile.id}: ${dimension} ${out.join(", ")} withheld until ${unless} is met`;
      reasons.push({ code: "scope-limit", text });
    }
  }
  return [scopes, withheld];
}

/** What missing information leads to: the strictest of what the profiles that do not admit say. */
function missingMode(input: Case, assessed: Assessed[], reasons: Reason[]): "defer" | "refuse" {
  let mode: "defer" | "refuse" = "defer";
  for (const { outcome, profile } of assessed) {
    if (outcome.outcome === "admitted") continue;
    const what = outcome.outcome === "unknown" ? "unknown" : "unmet";
    reasons.push({ code: what, text: `profile ${profile.id} does not admit: its rule is ${what}` });
    if (profile.missing.get(reversibilityOf(input)) === "refuse") mode = "refuse";
  }
  return mode;
}

function whatSuffices(evidence: Evidence[], assessed: Assessed[], tree: Tree): Partial<Verdict> {
  const authorityOf = (leaf: number): Hex => evidence[leaf]?.authority ?? "";
  const authorities = (of: Evidence[]): Hex[] => [...new Set(of.map((item) => item.authority))].sort(byId);
  const necessary = authorities(evidence).filter(
    (candidate) => !isSatisfied(tree, (leaf) => authorityOf(leaf) !== candidate),
  );
  const found = minimalSets(tree);
  const sufficient = found.sets.map((set) => {
    const items = set.flatMap((leaf) => evidence[leaf] ?? []);
    return { statements: items.map((item) => item.statement), authorities: authorities(items) };
  });
  const weight = weakest(assessed, (authority) => necessary.includes(authority)) ?? weakest(assessed, () => true);
  return { necessary, sufficient, sufficientCount: found.count, truncated: isTruncated(found), weight };
}

/** The smallest of each component over the accepted evidence of these authorities. */
function weakest(assessed: Assessed[], counts: (authority: Hex) => boolean): Weight | undefined {
  const weights = assessed
    .flatMap(({ outcome }) => [...outcome.requirements.values()])
    .flatMap(({ considered }) => considered)
    .filter(({ refused, evidence }) => refused.length === 0 && counts(evidence.authority))
    .map(({ weighed }) => weighed.weight);
  const [first, ...others] = weights;
  if (first === undefined) return undefined;
  const least = { ...first };
  for (const weight of others) {
    for (const dimension of DIMENSIONS) least[dimension] = Math.min(least[dimension], weight[dimension]);
  }
  return least;
}

function whatIsMissing(input: Case, { missing, leaves }: Missing): Partial<Verdict> {
  const found = minimalSets(missing);
  const [first] = input.request.subjects;
  const name = first === undefined ? "" : subjectShown(first);
  const sets = found.sets.map((set) =>
    set.flatMap((leaf): MissingRequirement[] => {
      const one = leaves[leaf];
      if (one === undefined) return [];
      const { assessed, name: requirement } = one;
      const state = assessed.state(requirement);
      return [{ profile: assessed.profile.id, requirement, state, wayOut: wayOut(one.requirement, name, assessed.outcome.requirements.get(requirement)?.unheard ?? []) }];
    }),
  );
  return { missing: sets, missingCount: found.count, truncated: isTruncated(found) };
}

function subjectShown(subject: Request["subjects"][number]): string {
  const text = shown(keyOf(subject), (id) => show("stmt", id));
  const label = subject.kind === "artifact" ? subject.value.label : undefined;
  return label === undefined ? text : `${label} (${text})`;
}

function wayOut({ claims, roles, distinct, reached, owner }: Requirement, subject: string, unheard: Unheard[]): string {
  return [
    `an observation of ${claims.join(" or ")}`,
    roles.length > 0 ? ` by role ${roles.join(" or ")}` : "",
    distinct > 1 ? ` from ${distinct} independent organisations` : "",
    reached === undefined ? ` about ${subject}` : ` about what ${subject} rests on`,
    owner === undefined ? "" : `; ask ${owner}`,
    ...unheard.map(({ organisation, since }) => {
      const when = since === undefined ? "and was not heard of so far" : `last confirmed at ${since}`;
      return `; ${show("org", organisation)} may have it, ${when}`;
    }),
  ].join("");
}
