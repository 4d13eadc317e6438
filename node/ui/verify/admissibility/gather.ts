/** From the chains under the heads that a decider knew, and the statements that it weighed, to the case that it decided. */

import { Agreements } from "../agreements.js";
import type { Hex } from "../bytes.js";
import type { Seen } from "../cosignature.js";
import { show } from "../ids.js";
import { isStanding } from "../kind.js";
import { type EdgeKind, edgesOf, keyOf, sortable } from "../lineage/edges.js";
import { type Reached, reach } from "../lineage/reach.js";
import { Membership } from "../membership.js";
import type { Decision } from "../payload/actuation.js";
import type { Charter, Recognition } from "../payload/mesh.js";
import type { Credential } from "../payload/identity.js";
import { type Subject, matches } from "../payload/parts.js";
import { EDGES } from "../payload/profile.js";
import type { OrganisationState, Verified } from "../state.js";
import { since } from "../times.js";
import { governance } from "./declared.js";
import type { Case, Crossing, DeclaredProfile, Evidence, Finding, Silence, Term } from "./evidence.js";

/** What a decider knew of one chain. */
export interface Known {
  state: OrganisationState;
  /** Its statements under the head that change what others may rely on, in their order. */
  standing: Verified[];
  /** Who had seen the head. */
  seen: Seen;
  /** When the head was last confirmed to be the latest. */
  confirmed: bigint;
}

/** By organisation, in the order of their ids. */
export type Knowledge = Map<Hex, Known>;

/** Of a chain's statements those that stand under a head of this size. */
export function standingUnder(statements: Verified[], size: bigint): Verified[] {
  return statements.filter(({ payload, position }) => isStanding(payload.kind) && position < size);
}

export function gather(decider: Hex, decision: Decision, knowledge: Knowledge, weighed: Verified[]): Case {
  const { profiles, composition } = activated(knowledge.get(decider)?.standing ?? [], decision.activation, knowledge);
  const edges = weighed.flatMap(({ statement, payload }) => edgesOf(statement.id, payload));
  const reached = reach(decision.request.subjects.map(keyOf), edges);
  const context = new Context(decider, decision, knowledge);
  const evidence = weighed.flatMap((verified) => context.weighable(verified, reached) ?? []);
  const findings = [
    ...recalls(knowledge, evidence, reached),
    ...adverse(evidence),
    ...forks(decision.forked, evidence),
    ...disputes(weighed, evidence, reached, (verified, claim) => context.recognises(verified, claim)),
  ];
  const { request, time } = decision;
  const governed = governance(decider, request, knowledge, weighed);
  return { request, time, profiles, composition, evidence, findings, unheard: context.unheard(), governance: governed };
}

/** The profiles that the last activation put into force: the decider's own, or another organisation's. */
function activated(own: Verified[], named: Hex, knowledge: Knowledge): Pick<Case, "profiles" | "composition"> {
  const last = own.filter(({ payload }) => payload.kind === "activation").at(-1);
  if (last?.payload.kind !== "activation") throw new Error("no profile is active");
  if (last.statement.id !== named) throw new Error("it names another activation than the one in force");
  const known = new Map([...knowledge.values()].flatMap(({ standing }) => standing.map((one) => [one.statement.id, one])));
  const profiles = last.payload.says.profiles.map((id): DeclaredProfile => {
    const declared = known.get(id)?.payload;
    if (declared?.kind !== "profile") throw new Error(`the activation names ${show("stmt", id)}, which is no profile known here`);
    return { declaredBy: id, profile: declared.says };
  });
  return { profiles, composition: last.payload.says.composition };
}

/** The mesh's charter, where it is known. */
function charterOf(mesh: Hex | undefined, standing: Verified[]): Charter | undefined {
  const found = standing.find(({ statement, payload }) => payload.kind === "charter" && statement.id === mesh);
  return found?.payload.kind === "charter" ? found.payload.says : undefined;
}

type Answer = Decision["inquiries"][number]["answer"];

/** Whether an organisation was asked and could not be heard. */
function isInVain(answer: Answer): answer is Extract<Answer, { kind: "silent" | "unreachable" }> {
  return answer !== "refused" && answer.kind !== "answered";
}

/** Whether an organisation named what did not come in time. */
function isIncomplete(answer: Answer): boolean {
  return answer !== "refused" && answer.kind === "answered" && answer.value.missing > 0n;
}

/** What holds for all evidence of a case. */
class Context {
  private readonly membership: Membership | undefined;
  private readonly agreements: Agreements;
  /** How old a chain's last confirmation may be, in seconds. */
  private readonly limit: bigint | undefined;

  constructor(
    private readonly decider: Hex,
    private readonly decision: Decision,
    private readonly knowledge: Knowledge,
  ) {
    const standing = [...knowledge.values()].flatMap((known) => known.standing);
    const charter = charterOf(decision.mesh, standing);
    this.membership = charter === undefined ? undefined : new Membership(decision.mesh ?? "", charter, standing);
    this.agreements = new Agreements(standing);
    this.limit = this.membership?.terms["freshness-s"];
  }

  /** The evidence that a statement is, where it is an observation in reach of the request. */
  weighable({ statement, payload, organisation, position, signatory }: Verified, reached: Reached): Evidence | undefined {
    const known = this.knowledge.get(organisation);
    const size = known?.state.size ?? 0n;
    if (known === undefined || position >= size) {
      throw new Error(`evidence ${show("stmt", statement.id)} is in none of the chains under the heads given`);
    }
    if (payload.kind !== "observation" || signatory === "root") return undefined;
    const observation = payload.says;
    const path = shortest(observation.subjects.flatMap((subject) => {
      const found = reached.get(sortable(keyOf(subject)));
      return found === undefined ? [] : [found];
    }));
    const authority = known.state.authorityOf(signatory);
    if (path === undefined || authority === undefined) return undefined;
    const { kind, role } = authority.credential;
    const crossing = this.crossing(organisation, role, observation.claim);
    const { translation } = crossing;
    const witnessed = this.membership?.witnessed(organisation, known.seen);
    const stale = this.stale(organisation, known);
    return {
      statement: statement.id,
      organisation,
      authority: signatory,
      kind,
      role: translation?.role?.own ?? role,
      depth: authority.depth,
      standing: known.state.standingAt(signatory, position, statement.header.issuedAt, witnessed),
      observation: { ...observation, claim: translation?.claim?.own ?? observation.claim },
      path,
      receipt: witnessed === undefined ? "receipted" : { witnessed },
      ...crossing,
      parent: known.state.description.parent,
      stale,
      unreachable: stale !== undefined ? this.unreachableSince(organisation) : undefined,
      barred: this.barred(organisation, known, statement, observation.subjects, authority.credential),
    };
  }

  /** Why the decider may not use what was said to the parties of an agreement, where it may not. */
  private barred(
    author: Hex,
    { state }: Known,
    { header }: Verified["statement"],
    subjects: Subject[],
    credential: Credential,
  ): string | undefined {
    if (header.agreement === undefined || author === this.decider) return undefined;
    const ofCredential = credential.jurisdictions;
    const jurisdictions = ofCredential.length > 0 ? ofCredential : state.description.jurisdictions;
    const what = { author, reader: this.decider, kind: header.kind, subjects, jurisdictions };
    return this.agreements.outside(header.agreement, this.decision.time, what);
  }

  /** How long ago a chain was last confirmed, in seconds, where that is too long to rely on. */
  private stale(organisation: Hex, { confirmed }: Known): bigint | undefined {
    const age = since(this.decision.time, confirmed);
    return organisation !== this.decider && this.limit !== undefined && age > this.limit ? age : undefined;
  }

  /**
   * Organisations that cannot be heard: with chains that are too old to rely on, or asked in vain and never known; and, but
   * for former decisions, those who have named what is not here.
   */
  unheard(): Silence[] {
    const stale = [...this.knowledge].filter(([organisation, known]) => this.stale(organisation, known) !== undefined);
    const found = new Map(stale.map(([organisation, { confirmed }]): [Hex, bigint | undefined] => [organisation, confirmed]));
    for (const { organisation, answer } of this.decision.inquiries) {
      const known = this.knowledge.get(organisation);
      if (known === undefined && isInVain(answer)) found.set(organisation, answer.value.since);
      if (this.decision.silence === "recognised" && isIncomplete(answer)) found.set(organisation, known?.confirmed);
    }
    const inOrder = [...found].sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0));
    return inOrder.map(([organisation, since]) => ({ organisation, since, recognitions: this.recognitionsOf(organisation) }));
  }

  /** Those by which an organisation's silence counts; none by the rule of former decisions. */
  private recognitionsOf(organisation: Hex): Recognition[] {
    if (this.decision.silence === "named") return [];
    const own = this.knowledge.get(this.decider)?.standing ?? [];
    const all = own.flatMap(({ payload }) => (payload.kind === "recognition" ? [payload.says] : []));
    return all.filter((one) => one.organisation === organisation);
  }

  /** Since when an organisation that was asked in vain was not heard of. */
  private unreachableSince(organisation: Hex): bigint | undefined {
    const answer = this.decision.inquiries.find((inquiry) => inquiry.organisation === organisation)?.answer;
    return answer !== undefined && isInVain(answer) ? answer.value.since : undefined;
  }

  /**
   * Whether the decider listens to who signed a statement for a claim: to its own authorities, and to those that its latest
   * recognition which covers role and claim accepts. Without a claim any recognition of the organisation will do.
   */
  recognises({ organisation, signatory }: Verified, claim: string | undefined): boolean {
    if (organisation === this.decider) return true;
    const authority = signatory === "root" ? undefined : this.knowledge.get(organisation)?.state.authorityOf(signatory);
    if (authority === undefined) return false;
    if (claim !== undefined) return this.crossing(organisation, authority.credential.role, claim).recognition === "recognised";
    const latest = (this.knowledge.get(this.decider)?.standing ?? []).filter(
      ({ payload }) => payload.kind === "recognition" && payload.says.organisation === organisation,
    );
    const last = latest.at(-1)?.payload;
    return last?.kind === "recognition" && !last.says.withdrawn;
  }

  /** What the decider's latest recognition that covers this role and claim makes of them. */
  private crossing(organisation: Hex, role: string, claim: string): Crossing {
    if (organisation === this.decider) return { recognition: "own", translation: undefined, cap: undefined };
    for (const { payload, statement } of [...(this.knowledge.get(this.decider)?.standing ?? [])].reverse()) {
      if (payload.kind !== "recognition" || payload.says.organisation !== organisation) continue;
      const { roles, claims, withdrawn, "role-map": roleMap, "claim-map": claimMap, "authority-cap": cap } = payload.says;
      const isAnyRole = roles.length === 0 && roleMap.size === 0;
      const isCovered =
        (claimMap.has(claim) || claims.some((pattern) => matches(pattern, claim))) &&
        (isAnyRole || roleMap.has(role) || roles.some((pattern) => matches(pattern, role)));
      if (!isCovered) continue;
      if (withdrawn) break;
      const [ownRole, ownClaim] = [term(roleMap, role), term(claimMap, claim)];
      const isMapped = ownRole !== undefined || ownClaim !== undefined;
      const translation = isMapped ? { by: statement.id, role: ownRole, claim: ownClaim } : undefined;
      return { recognition: "recognised", translation, cap };
    }
    return { recognition: "unrecognised", translation: undefined, cap: undefined };
  }
}

function term(map: Map<string, string>, foreign: string): Term | undefined {
  const own = map.get(foreign);
  return own === undefined ? undefined : { foreign, own };
}

/** The shortest of these paths; of several the one whose edges come first in their order. */
function shortest(paths: EdgeKind[][]): EdgeKind[] | undefined {
  const rank = (path: EdgeKind[]): number[] => [path.length, ...path.map((kind) => EDGES.indexOf(kind))];
  const before = (one: number[], other: number[]): number => {
    const at = one.findIndex((value, at) => value !== other[at]);
    return at < 0 ? 0 : (one[at] ?? 0) - (other[at] ?? 0);
  };
  return [...paths].sort((one, other) => before(rank(one), rank(other)))[0];
}

/** A recall counts when its organisation withdraws a statement of its own that bears on the request. */
function recalls(knowledge: Knowledge, evidence: Evidence[], reached: Reached): Finding[] {
  return [...knowledge.values()]
    .flatMap(({ standing }) => standing)
    .flatMap(({ payload, statement, organisation }): Finding[] => {
      if (payload.kind !== "recall") return [];
      const { statement: withdrawn, subjects, reason } = payload.says;
      const found = evidence.find((one) => one.statement === withdrawn && one.organisation === organisation);
      if (found === undefined) return [];
      const about = new Set(found.observation.subjects.map((subject) => sortable(keyOf(subject))));
      const touched = subjects.map(keyOf).filter((key) => about.has(sortable(key)) && reached.has(sortable(key)));
      return [{ kind: "recall", organisation, statement: statement.id, evidence: [withdrawn], subjects: touched, reason }];
    });
}

function adverse(evidence: Evidence[]): Finding[] {
  const against = evidence.filter(({ observation, recognition }) => observation.adverse && recognition !== "unrecognised");
  return against.map(({ organisation, statement, observation }) => ({
    kind: "adverse",
    organisation,
    statement,
    evidence: [statement],
    subjects: observation.subjects.map(keyOf),
    reason: `${observation.claim} speaks against it`,
  }));
}

function forks(forked: Hex[], evidence: Evidence[]): Finding[] {
  return forked.flatMap((organisation): Finding[] => {
    const hit = evidence.filter((one) => one.organisation === organisation).map((one) => one.statement);
    if (hit.length === 0) return [];
    return [{ kind: "fork", organisation, evidence: hit, subjects: [], reason: "it signed contradicting heads" }];
  });
}

/**
 * The disputes that stand: of each organisation its latest word on each statement. The decider listens to itself, to the
 * disputed statement's own organisation, and to whom it recognises for the claim in dispute.
 */
function disputes(
  weighed: Verified[],
  evidence: Evidence[],
  reached: Reached,
  recognises: (verified: Verified, claim: string | undefined) => boolean,
): Finding[] {
  const latest = new Map<string, Verified>();
  for (const verified of weighed) {
    const { payload, organisation, position } = verified;
    if (payload.kind !== "link" || (payload.says.relation !== "disputes" && payload.says.relation !== "approves")) continue;
    const about = `${organisation} ${payload.says.target.statement}`;
    const before = latest.get(about);
    if (before === undefined || before.position < position) latest.set(about, verified);
  }
  return [...latest.values()].flatMap((verified): Finding[] => {
    const { payload, organisation, statement } = verified;
    if (payload.kind !== "link" || payload.says.relation !== "disputes") return [];
    const { target, purpose } = payload.says;
    const isWeighed = evidence.some((one) => one.statement === target.statement);
    if (!isWeighed && !reached.has(sortable({ statement: target.statement }))) return [];
    // What is no observation makes no claim.
    const disputed = weighed.find((one) => one.statement.id === target.statement)?.payload;
    const claim = disputed?.kind === "observation" ? disputed.says.claim : undefined;
    if (organisation !== target.organisation && !recognises(verified, claim)) return [];
    const finding = { organisation, statement: statement.id, evidence: [target.statement], subjects: [], reason: purpose };
    return [{ kind: "dispute", ...finding }];
  });
}
