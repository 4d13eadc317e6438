/** One requirement: which evidence bears on it, what that weighs, why some of it is refused, and what would show it. */

import { compareText } from "../bytes.js";
import { Undecided } from "../expression/evaluate.js";
import { isSatisfiedBy } from "../expression/observed.js";
import { type Expression, parseExpression } from "../expression/syntax.js";
import { show } from "../ids.js";
import { matches } from "../payload/parts.js";
import { DIMENSIONS, type Profile, type Requirement } from "../payload/profile.js";
import { since } from "../times.js";
import { corroboration, groupsOf, sourcesFor } from "../weighting/corroboration.js";
import { STANDING, weigh } from "../weighting/weigh.js";
import type { Case, Evidence, Silence } from "./evidence.js";
import { mayCount } from "./silence.js";
import { type Tree, all, atLeast, isSatisfied } from "./tree.js";
import type { Considered, Reason, RequirementOutcome } from "./verdict.js";

const DAY = 86_400n;

/** The half-life for a claim, in seconds; one year where nothing is declared. */
function halfLife(profile: Profile, claim: string): bigint {
  const patterns = [...profile["half-life-days"]].sort(([one], [other]) => compareText(one, other));
  const found = patterns.find(([pattern]) => matches(pattern, claim));
  return BigInt(found?.[1] ?? 365) * DAY;
}

/** Leaves of the tree are numbers of `evidence`, which is in the order of the statements' ids. */
export function assess(
  { time, unheard: silent }: Case,
  profile: Profile,
  requirement: Requirement,
  evidence: Evidence[],
  recalled: Set<string>,
): [RequirementOutcome, Tree] {
  const { expression } = requirement;
  let parsed: Expression | undefined;
  const considered: Considered[] = [];
  const accepted: { leaf: number; one: Considered }[] = [];
  for (const [leaf, item] of evidence.entries()) {
    const { claim } = item.observation;
    if (!requirement.claims.some((pattern) => matches(pattern, claim)) || !isInReach(requirement, item)) continue;
    const weighed = weigh(item, time, halfLife(profile, claim), profile.quality);
    const refused = refusals(time, requirement, item, recalled);
    if (expression !== undefined) {
      parsed ??= parseExpression(expression);
      refused.push(...looked(parsed, item, time));
    }
    const one = { evidence: item, weighed, refused };
    considered.push(one);
    if (refused.length === 0) accepted.push({ leaf, one });
  }
  // Who is independent of whom is found once, before the floors: an echo stays an echo.
  const groups = groupsOf(accepted.map(({ one }) => tiesOf(one.evidence)));
  const sources = new Set(groups).size;
  for (const { one } of accepted) {
    const value = corroboration(sources);
    one.weighed.weight.corroboration = value;
    const found = `${groups.length} pieces of evidence from ${sources} independent sources`;
    one.weighed.derivation.push({ dimension: "corroboration", found, value });
    const below = belowFloor(requirement, one);
    if (below !== undefined) one.refused.push(below);
  }
  const leaves = accepted.map(({ leaf, one }, at) => ({ leaf, group: groups[at] ?? 0, counts: one.refused.length === 0 }));
  const tree = shownBy(requirement, leaves);
  const mayBe = considered.some(({ refused }) => refused.length > 0 && refused.every(({ code }) => code.startsWith("unknown-")));
  const isMet = isSatisfied(tree, () => true);
  const possible = silent.filter((one) => mayShow(one, requirement));
  // Whoever has said something already is a source already.
  const isNew = ({ organisation }: Silence, said: Considered[]): boolean =>
    said.every(({ evidence }) => evidence.organisation !== organisation);
  const counted = accepted.map(({ one }) => one).filter(({ refused }) => refused.length === 0);
  const awaited = possible.filter((one) => isNew(one, counted));
  const others = awaited.filter((one) => isNew(one, accepted.map(({ one }) => one)));
  const unheard = !isMet && mayBeShown(requirement, leaves, awaited.length, others.length) ? awaited : [];
  const state = isMet ? "met" : mayBe || unheard.length > 0 ? "unknown" : "unmet";
  return [{ state, considered, unheard }, tree];
}

/** Whether something may be expected of who cannot be heard: by name, or where none is named, by recognition. */
function mayShow({ organisation, recognitions }: Silence, { organisations, claims, roles }: Requirement): boolean {
  return organisations.length > 0 ? organisations.includes(organisation) : mayCount(recognitions, claims, roles);
}

function isInReach({ reached }: Requirement, { path }: Evidence): boolean {
  if (reached === undefined) return path.length === 0;
  return path.length > 0 && path.length <= reached.depth && path.every((edge) => reached.edges.includes(edge));
}

function looked(expression: Expression, { observation }: Evidence, time: bigint): Reason[] {
  try {
    if (isSatisfiedBy(expression, observation, time)) return [];
    return [{ code: "expression", text: "the profile's expression does not hold" }];
  } catch (error) {
    if (!(error instanceof Undecided)) throw error;
    return [{ code: "expression", text: `the expression cannot be evaluated: ${error.message}` }];
  }
}

function refusals(time: bigint, requirement: Requirement, item: Evidence, recalled: Set<string>): Reason[] {
  const reasons: Reason[] = [];
  const refuse = (applies: boolean, code: string, text: string): void => {
    if (applies) reasons.push({ code, text });
  };
  const { organisations, roles, kinds } = requirement;
  const { organisation, role, observation, standing, stale } = item;
  const isStrange = organisations.length > 0 && !organisations.includes(organisation);
  refuse(isStrange, "organisation", `${show("org", organisation)} is not among the organisations asked for`);
  const isOtherRole = roles.length > 0 && !roles.some((pattern) => matches(pattern, role));
  refuse(isOtherRole, "role", `role ${role} is not among the roles asked for`);
  refuse(kinds.length > 0 && !kinds.includes(item.kind), "kind", "the signer is not of a kind asked for");
  const isUnrecognised = !requirement.unrecognised && item.recognition === "unrecognised";
  refuse(isUnrecognised, "unrecognised", `no recognition covers role ${role} for this claim`);
  refuse(item.barred !== undefined, "agreement", item.barred ?? "");
  refuse(standing === "unknown", "unknown-standing", "how the signer stands is not known");
  const hasFallen = standing !== "in-force" && standing !== "unknown";
  refuse(hasFallen, "standing", `the signer's credential is ${STANDING[standing]}`);
  const isSilent = item.unreachable !== undefined;
  const silence = `its organisation is unreachable since ${item.unreachable}, too long to rely on it`;
  const staleness = `its chain was last confirmed ${stale} s ago, too long to rely on`;
  refuse(stale !== undefined, "unknown-freshness", isSilent ? silence : staleness);
  refuse(recalled.has(item.statement), "recalled", "it was recalled, or its organisation forked");
  refuse(observation.adverse, "adverse", "it speaks against the subject");
  refuse(observation.effective > time, "not-yet-effective", `it takes effect at ${observation.effective}`);
  refuse(observation.expires !== undefined && observation.expires < time, "expired", "it has expired");
  const age = since(time, observation.effective) / DAY;
  const most = requirement["max-age-days"];
  refuse(most !== undefined && age > BigInt(most), "too-old", `it is ${age} days old`);
  return reasons;
}

/** What makes two pieces of evidence depend on each other when they have it in common. */
function tiesOf({ organisation, parent, observation }: Evidence): string[] {
  return [
    `organisation ${show("org", organisation)}`,
    ...(parent === undefined ? [] : [`organisation ${parent}`]),
    ...(observation.source === undefined ? [] : [`document ${observation.source.document}`]),
  ];
}

/** The first dimension, in their order, in which the weight does not reach the floor. */
function belowFloor({ floors }: Requirement, { weighed }: Considered): Reason | undefined {
  for (const dimension of DIMENSIONS) {
    const [value, floor] = [weighed.weight[dimension], floors.get(dimension) ?? 0];
    if (value < floor) return { code: "weight-floor", text: `${dimension} is ${value} ppm, below ${floor}` };
  }
  return undefined;
}

interface Source {
  leaf: number;
  /** Which of the independent sources it belongs to. */
  group: number;
  /** Whether it reaches the floors. */
  counts: boolean;
}

/**
 * By as many independent sources as asked for, in each by any one piece of evidence that reaches the floors. A floor of
 * corroboration asks for further sources, which need not reach the floors themselves.
 */
function shownBy({ distinct, floors }: Requirement, sources: Source[]): Tree {
  const shown = fromGroups(distinct, sources.filter((source) => source.counts));
  const need = sourcesFor(floors.get("corroboration") ?? 0);
  if (need === undefined) return false;
  return need <= 1 ? shown : all([shown, fromGroups(need, sources)]);
}

/** Whether it would be shown with so many more sources that count, and so many more at all. */
function mayBeShown({ distinct, floors }: Requirement, sources: Source[], more: number, others: number): boolean {
  const count = (of: Source[]): number => new Set(of.map(({ group }) => group)).size;
  const need = sourcesFor(floors.get("corroboration") ?? 0);
  const isEnough = count(sources.filter(({ counts }) => counts)) + more >= distinct;
  return more > 0 && isEnough && need !== undefined && count(sources) + others >= need;
}

function fromGroups(need: number, sources: Source[]): Tree {
  const groups = new Map<number, Tree[]>();
  for (const { leaf, group } of sources) groups.set(group, [...(groups.get(group) ?? []), { leaf }]);
  const inOrder = [...groups].sort(([one], [other]) => one - other);
  return atLeast(need, inOrder.map(([, leaves]) => atLeast(1, leaves)));
}
