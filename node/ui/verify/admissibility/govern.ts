/** From what profiles say to what may happen: harm, reversibility, stages, and an override come in here. */

import { type Hex, compareText, utf8 } from "../bytes.js";
import { show } from "../ids.js";
import { ACTION_CLASSES_MAX } from "../limits.js";
import type { ActionClass, HarmOrdering } from "../payload/governance.js";
import { matches } from "../payload/parts.js";
import type { Profile } from "../payload/profile.js";
import { type Declared, type Governance, digestOf } from "./declared.js";
import { CaseError, compose, ruleTree } from "./evaluate.js";
import type { Case, DeclaredProfile } from "./evidence.js";
import { isSatisfied } from "./tree.js";
import type { Considered, Governed, ProfileOutcome, Scopes, Verdict } from "./verdict.js";

const REVERSIBILITY = ["reversible", "compensable", "irreversible"] as const;
/** Seconds after which an override stands for no decision any more. */
const OVERRIDE_S = 3_600n;

const byId = (one: Hex, other: Hex): number => (one < other ? -1 : one > other ? 1 : 0);

/** The classes that cover an action, in the order of their statements. */
function classesOf({ classes }: Governance, action: string): Declared<ActionClass>[] {
  const covering = classes.filter(({ says }) => matches(says.action, action));
  return covering.sort((one, other) => byId(one.statement, other.statement));
}

/** Whether an action can be taken back: the strictest of what is declared and what the request claims. */
export function reversibilityOf({ governance, request }: Case): Governed["reversibility"] {
  const said = [request.reversibility, ...classesOf(governance, request.action).map(({ says }) => says.reversibility)];
  const rank = Math.max(...said.map((one) => REVERSIBILITY.indexOf(one)));
  return REVERSIBILITY[rank] ?? "irreversible";
}

/** Applies what governs the action to what the profiles say, which are in the order of the verdict's. */
export function govern(input: Case, profiles: DeclaredProfile[], verdict: Verdict): Verdict {
  const classes = classesOf(input.governance, input.request.action);
  if (classes.length > ACTION_CLASSES_MAX) throw new CaseError(`${classes.length} action classes cover one request`);
  return new Governing(input, profiles.map(({ profile }) => profile), verdict, classes).run();
}

interface Graded {
  ordering: HarmOrdering;
  gravity: number;
}

/** Whether the rule would hold if the evidence that is there could be relied on. Silence alone lets nothing go ahead. */
function isThere({ rule }: Profile, requirements: ProfileOutcome["requirements"]): boolean {
  const isUnknown = ({ refused }: Considered): boolean =>
    refused.length > 0 && refused.every(({ code }) => code.startsWith("unknown-"));
  const tree = ruleTree(rule, (name) => {
    const found = requirements.get(name);
    return found !== undefined && (found.state === "met" || found.considered.some(isUnknown));
  });
  return isSatisfied(tree, () => false);
}

function rank({ order }: HarmOrdering, harm: string): number | undefined {
  const place = order.indexOf(harm);
  return place < 0 ? undefined : place + 1;
}

/** A kind of harm that nobody ordered counts as the gravest. */
function gravity(ordering: HarmOrdering, harm: string[]): number {
  return Math.max(0, ...harm.map((one) => rank(ordering, one) ?? ordering.order.length));
}

function reaches({ ordering, gravity }: Graded, threshold: string | undefined): boolean {
  const from = threshold === undefined ? undefined : rank(ordering, threshold);
  return from !== undefined && gravity >= from;
}

class Governing {
  private readonly ruling: Governed;
  private readonly requested: Scopes;

  constructor(
    private readonly input: Case,
    private readonly profiles: Profile[],
    private readonly verdict: Verdict,
    classes: Declared<ActionClass>[],
  ) {
    this.requested = input.request.scopes;
    const harm = [...new Set([...classes.flatMap(({ says }) => says.harm), ...input.request.harm])].sort(compareText);
    this.ruling = {
      classes: classes.map(({ statement }) => statement),
      reversibility: reversibilityOf(input),
      harm,
      orderings: [],
      stage: undefined,
      degraded: false,
      overridden: undefined,
    };
  }

  run(): Verdict {
    const { verdict, ruling } = this;
    this.correct();
    const orderings = this.orderings();
    const isVetoed = verdict.profiles.some(({ outcome }) => outcome === "vetoed");
    if (!isVetoed && !this.admits(({ outcome }) => outcome === "admitted")) this.miss(orderings);
    if (this.proceeds()) this.askForAPerson(orderings);
    if (this.proceeds()) this.stage();
    this.overrule();
    const saysSomething =
      ruling.classes.length > 0 || ruling.orderings.length > 0 || ruling.degraded || ruling.overridden !== undefined;
    verdict.governed = saysSomething ? ruling : undefined;
    return verdict;
  }

  private say(code: string, text: string): void {
    this.verdict.reasons.push({ code, text });
  }

  private proceeds(): boolean {
    return this.verdict.mode === "continue" || this.verdict.mode === "partial";
  }

  private correct(): void {
    const [claimed, declared] = [this.input.request.reversibility, this.ruling.reversibility];
    if (claimed === declared) return;
    this.say("action-class", `the request claims ${claimed}, and its action class is declared ${declared}, which counts`);
  }

  /** An action that no class covers counts as gravest, whatever its request claims. */
  private orderings(): Graded[] {
    const { jurisdictions, orderings } = this.input.governance;
    const isAsked = (jurisdiction: string): boolean =>
      jurisdictions.includes(jurisdiction) || this.profiles.some((profile) => profile.jurisdictions.includes(jurisdiction));
    const isClassified = this.ruling.classes.length > 0;
    const found = orderings
      .filter(({ says }) => isAsked(says.jurisdiction))
      .sort((one, other) => byId(one.statement, other.statement))
      .map(({ statement, says }) => ({
        statement,
        ordering: says,
        gravity: isClassified ? gravity(says, this.ruling.harm) : says.order.length,
      }));
    this.ruling.orderings = found.map(({ statement, ordering, gravity }) => ({
      declaredBy: statement,
      jurisdiction: ordering.jurisdiction,
      gravity,
      of: ordering.order.length,
    }));
    return found;
  }

  /** Whether the profiles together would admit if those that count here did and no other. */
  private admits(counts: (outcome: ProfileOutcome, profile: Profile | undefined) => boolean): boolean {
    const { profiles } = this.verdict;
    const trees = profiles.map((outcome, at) => counts(outcome, this.profiles[at]));
    return isSatisfied(compose(this.input.composition, profiles.map(({ profile }) => profile), trees), () => false);
  }

  private miss(orderings: Graded[]): void {
    for (const graded of orderings) {
      const { ordering, gravity } = graded;
      const from = ordering["refuse-missing-from"];
      if (!reaches(graded, from)) continue;
      this.verdict.mode = "refuse";
      this.say(
        "harm",
        `information is missing, and the harm has gravity ${gravity} of ${ordering.order.length} in ${ordering.jurisdiction}: ` +
          `refused from ${from} on; what is missing would turn it`,
      );
    }
    if (this.verdict.mode === "defer") this.degrade();
  }

  /** Unknown admits nothing by itself; the part that goes ahead is declared beforehand, and recorded as such. */
  private degrade(): void {
    const isDegradable = ({ outcome, requirements }: ProfileOutcome, profile: Profile | undefined): boolean =>
      outcome === "admitted" ||
      (outcome === "unknown" && profile !== undefined && profile.degraded.size > 0 && isThere(profile, requirements));
    if (this.ruling.reversibility !== "reversible" || !this.admits(isDegradable)) return;
    const scopes: Scopes = new Map(this.requested);
    for (const [at, { outcome }] of this.verdict.profiles.entries()) {
      if (outcome !== "unknown") continue;
      for (const [dimension, values] of scopes) {
        const allowed = this.profiles[at]?.degraded.get(dimension) ?? [];
        scopes.set(dimension, values.filter((value) => allowed.includes(value)));
      }
    }
    for (const limit of this.unlifted()) {
      const values = scopes.get(limit.dimension);
      if (values !== undefined) scopes.set(limit.dimension, values.filter((value) => limit.allow.includes(value)));
    }
    if (scopes.size === 0 || [...scopes.values()].some((values) => values.length === 0)) {
      this.say("nothing-left", "what may go ahead without this evidence was not requested");
      return;
    }
    this.ruling.degraded = true;
    this.verdict.mode = "partial";
    this.grant(scopes);
    this.say("degraded", "evidence cannot be relied on at present; the profiles let a declared part go ahead without it");
  }

  /** Limits that hold because what would lift them is not met. */
  private unlifted(): Profile["limits"] {
    return this.verdict.profiles.flatMap(({ requirements }, at) => {
      const limits = this.profiles[at]?.limits ?? [];
      return limits.filter(({ unless }) => requirements.get(unless)?.state !== "met");
    });
  }

  private askForAPerson(orderings: Graded[]): void {
    const accepted = this.verdict.profiles
      .flatMap(({ requirements }) => [...requirements.values()])
      .filter(({ state }) => state === "met")
      .flatMap(({ considered }) => considered)
      .filter(({ refused }) => refused.length === 0)
      .map(({ evidence }) => evidence.authority);
    const people = this.input.evidence.filter(({ kind }) => kind === "human-role").map(({ authority }) => authority);
    if (accepted.some((authority) => people.includes(authority))) return;
    const asking = orderings.find((graded) => reaches(graded, graded.ordering["human-role-from"]));
    if (asking === undefined) return;
    const { ordering, gravity } = asking;
    this.defer(
      "human-role",
      `the harm has gravity ${gravity} of ${ordering.order.length} in ${ordering.jurisdiction}, where a person in a role has ` +
        "to be among the authorities: an observation by one that a requirement accepts would turn it",
    );
  }

  /** Limits the action to its current stage: of the most specific class that declares any. */
  private stage(): void {
    const { governance, request } = this.input;
    const rankOf = ({ says }: Declared<ActionClass>): [number, number] => [
      says.action.endsWith("*") ? 0 : 1,
      utf8(says.action).length,
    ];
    const [found] = classesOf(governance, request.action)
      .filter(({ says }) => says.stages !== undefined)
      .sort((one, other) => {
        const [a, b] = [rankOf(one), rankOf(other)];
        return b[0] - a[0] || b[1] - a[1] || byId(one.organisation, other.organisation);
      });
    const stages = found?.says.stages;
    if (found === undefined || stages === undefined) return;
    const { dimension, steps } = stages;
    const known = governance.cleared?.class === found.statement ? governance.cleared.stages : 0;
    const cleared = Math.min(known, steps.length);
    this.ruling.stage = { class: found.statement, dimension, cleared, of: steps.length };
    const step = steps[cleared];
    if (step === undefined) return;
    const which = `stage ${cleared + 1} of ${steps.length}`;
    const kept = (this.verdict.scopes.get(dimension) ?? []).filter((value) => step.includes(value));
    if (kept.length === 0) {
      this.defer("stage", `${which} is for ${dimension} ${step.join(", ")}, which was not requested or is withheld`);
      return;
    }
    this.grant(new Map(this.verdict.scopes).set(dimension, kept));
    if (this.verdict.withheld.size === 0) return;
    this.verdict.mode = "partial";
    this.say(
      "stage",
      `${which}: ${dimension} ${step.join(", ")}; the next needs the effect of this one, as predicted, and a decision`,
    );
  }

  private overrule(): void {
    const { overriding } = this.input.governance;
    if (overriding === undefined) return;
    const refusal = this.refusal();
    if (refusal !== undefined) {
      this.say(...refusal);
      return;
    }
    const { statement, authority, says, budget, used } = overriding;
    const left = Math.max((budget?.count ?? 0) - used, 0);
    const insteadOf = this.verdict.mode;
    this.ruling.overridden = { statement, authority, reason: says.reason, insteadOf, left };
    this.verdict.mode = "continue";
    this.grant(new Map(this.requested));
    this.say("override", `${show("auth", authority)} lets it go ahead in place of ${insteadOf}: ${says.reason}`);
  }

  /** Why an override does not stand for this decision: the check, and in words. */
  private refusal(): [string, string] | undefined {
    const { governance, request, time } = this.input;
    const { overriding } = governance;
    if (this.proceeds() || overriding === undefined) {
      return ["override-needless", "the action may go ahead without an override; nothing was spent"];
    }
    const { authority, budget, issuedAt, says, used } = overriding;
    if (says.request !== digestOf(request)) return ["override-request", "the override is about another request"];
    if (issuedAt > time || time - issuedAt > OVERRIDE_S) {
      return ["override-time", `the override was signed at ${issuedAt}, and stands for ${OVERRIDE_S} s`];
    }
    const name = show("auth", authority);
    if (budget === undefined) {
      return [
        "override-credential",
        `the credential of ${name} has no budget for overrides; \`authority issue --overrides\` gives one`,
      ];
    }
    if (used > budget.count) {
      return [
        "override-budget",
        `the budget of ${name} is spent: ${budget.count} overrides in ${budget.window_s} s; ask another authority`,
      ];
    }
    for (const [at, { profile, vetoes }] of this.verdict.profiles.entries()) {
      const policy = this.profiles[at]?.overrides ?? { forbidden: [], vetoes: [], irreversible: false };
      if (policy.forbidden.some((pattern) => matches(pattern, request.action))) {
        return ["override-forbidden", `profile ${profile} forbids overrides of this action`];
      }
      const veto = vetoes.find(({ kind }) => !policy.vetoes.includes(kind));
      if (veto !== undefined) {
        return ["override-veto", `profile ${profile} lets no override pass its veto by ${veto.kind}`];
      }
      if (this.ruling.reversibility === "irreversible" && !policy.irreversible) {
        return [
          "override-irreversible",
          `the action is irreversible, and profile ${profile} does not let overrides pass then`,
        ];
      }
    }
    return undefined;
  }

  private defer(code: string, text: string): void {
    const { verdict } = this;
    verdict.mode = "defer";
    [verdict.necessary, verdict.sufficient] = [[], []];
    [verdict.sufficientCount, verdict.weight, verdict.truncated] = [undefined, undefined, false];
    this.grant(new Map([...this.requested.keys()].map((dimension) => [dimension, []])));
    this.say(code, text);
  }

  /** Grants these scopes, and withholds what was requested besides. */
  private grant(scopes: Scopes): void {
    const withheld: Scopes = new Map();
    for (const [dimension, values] of this.requested) {
      const out = values.filter((value) => !(scopes.get(dimension) ?? []).includes(value));
      if (out.length > 0) withheld.set(dimension, out);
    }
    [this.verdict.scopes, this.verdict.withheld] = [scopes, withheld];
  }
}
