/** What governs a request besides profiles: declarations in force, stages that were cleared, the override asked under. */

import { type Hex, toHex } from "../bytes.js";
import { blake3 } from "../digest.js";
import { keyOf, sortable } from "../lineage/edges.js";
import type { Decision, Effect, Permit, Request } from "../payload/actuation.js";
import type { ActionClass, HarmOrdering, Override } from "../payload/governance.js";
import type { Credential } from "../payload/identity.js";
import { matches } from "../payload/parts.js";
import type { Payload } from "../payload/payload.js";
import { holds } from "../predict.js";
import { permitStage, ruling } from "../ruling.js";
import type { Verified } from "../state.js";
import type { Knowledge } from "./gather.js";
import { encodeRequest } from "./request.js";

/** Something declared, and by whom. */
export interface Declared<T> {
  statement: Hex;
  organisation: Hex;
  says: T;
}

/** An override as a decision sees it. */
export interface Overriding {
  statement: Hex;
  authority: Hex;
  says: Override;
  issuedAt: bigint;
  budget: Credential["overrides"];
  /** How many the signer had made in the budget's time, with this one. */
  used: number;
}

export interface Governance {
  /** Jurisdictions of the organisation that decides. */
  jurisdictions: string[];
  classes: Declared<ActionClass>[];
  orderings: Declared<HarmOrdering>[];
  /** Stages of a class whose effects were reported as predicted. */
  cleared: { class: Hex; stages: number } | undefined;
  overriding: Overriding | undefined;
}

export function governance(decider: Hex, request: Request, knowledge: Knowledge, weighed: Verified[]): Governance {
  const own = weighed.filter(({ organisation }) => organisation === decider);
  return {
    jurisdictions: knowledge.get(decider)?.state.description.jurisdictions ?? [],
    classes: declarations(knowledge, decider, "action-class", (payload) =>
      payload.kind === "action-class" ? [payload.says.action, payload.says] : undefined,
    ),
    orderings: declarations(knowledge, decider, "harm-ordering", (payload) =>
      payload.kind === "harm-ordering" ? [payload.says.jurisdiction, payload.says] : undefined,
    ),
    cleared: cleared(own, request),
    overriding: overriding(own, knowledge.get(decider)),
  };
}

/** Of each chain the last about the same; of a foreign one only those of authorities that are recognised for the claim. */
function declarations<T>(
  knowledge: Knowledge,
  decider: Hex,
  claim: string,
  pick: (payload: Payload) => [string, T] | undefined,
): Declared<T>[] {
  return [...knowledge].flatMap(([organisation, { standing, state }]) => {
    const latest = new Map<string, Declared<T>>();
    for (const { payload, statement, signatory } of standing) {
      const found = pick(payload);
      if (found === undefined) continue;
      const role = signatory === "root" ? undefined : state.authorityOf(signatory)?.credential.role;
      if (organisation !== decider && !isRecognised(knowledge.get(decider)?.standing ?? [], organisation, role, claim)) continue;
      latest.set(found[0], { statement: statement.id, organisation, says: found[1] });
    }
    return [...latest.values()];
  });
}

/** The latest recognition that covers a role and claim decides. */
function isRecognised(own: Verified[], organisation: Hex, role: string | undefined, claim: string): boolean {
  if (role === undefined) return false;
  for (const { payload } of [...own].reverse()) {
    if (payload.kind !== "recognition" || payload.says.organisation !== organisation) continue;
    const { roles, claims, withdrawn, "role-map": roleMap, "claim-map": claimMap } = payload.says;
    const isAnyRole = roles.length === 0 && roleMap.size === 0;
    const isCovered =
      (claimMap.has(claim) || claims.some((pattern) => matches(pattern, claim))) &&
      (isAnyRole || roleMap.has(role) || roles.some((pattern) => matches(pattern, role)));
    if (isCovered) return !withdrawn;
  }
  return false;
}

/** How far the last effect of the same action on the same subjects by the same actuator got. */
function cleared(own: Verified[], request: Request): Governance["cleared"] {
  const byId = new Map(own.map((verified) => [verified.statement.id, verified.payload]));
  let last: [bigint, Governance["cleared"]] | undefined;
  for (const { payload, position } of own) {
    if (payload.kind !== "effect") continue;
    const permit = byId.get(payload.says.permit);
    if (permit?.kind !== "permit") continue;
    const decision = byId.get(permit.says.decision);
    if (decision?.kind !== "decision") continue;
    const found = after(request, decision.says, permit.says, payload.says);
    if (found !== undefined && (last === undefined || position > last[0])) last = [position, found];
  }
  return last?.[1];
}

function after(request: Request, decision: Decision, permit: Permit, effect: Effect): Governance["cleared"] {
  if (!isSame(request, decision.request)) return undefined;
  const found = ruling(decision.verdict);
  const { stage } = found;
  if (stage === undefined || found.override !== undefined) return undefined;
  if (permitStage(found)?.join() !== permit.stage?.join()) return undefined;
  const isPredicted = [...decision.request.predicted].every(([name, value]) => holds(value, effect.observed.get(name)));
  const stages = isPredicted ? Math.min(stage.cleared + 1, stage.of) : Math.min(stage.cleared, Math.max(stage.of - 1, 0));
  return { class: stage.class, stages };
}

function isSame(one: Request, other: Request): boolean {
  const keys = (request: Request): string => JSON.stringify([...new Set(request.subjects.map(keyOf).map(sortable))].sort());
  return one.action === other.action && one.actuator === other.actuator && keys(one) === keys(other);
}

/** The override among what a decision rests on: the last of them. */
function overriding(own: Verified[], known: ReturnType<Knowledge["get"]>): Overriding | undefined {
  const acts = own.flatMap((verified) =>
    verified.payload.kind === "override" ? [{ verified, says: verified.payload.says }] : [],
  );
  const last = acts.sort((one, other) => (one.verified.position < other.verified.position ? -1 : 1)).at(-1);
  const authority = last?.verified.signatory;
  if (last === undefined || authority === undefined || authority === "root" || known === undefined) return undefined;
  const record = known.state.authorityOf(authority);
  if (record === undefined) return undefined;
  const budget = record.credential.overrides;
  const issuedAt = last.verified.statement.header.issuedAt;
  const earlier = known.standing.filter(
    ({ payload, signatory, position, statement }) =>
      payload.kind === "override" &&
      signatory === authority &&
      position < last.verified.position &&
      statement.header.issuedAt + (budget?.window_s ?? 0n) > issuedAt,
  );
  const used = budget === undefined ? 1 : earlier.length + 1;
  return { statement: last.verified.statement.id, authority, says: last.says, issuedAt, budget, used };
}

/** Digest of a request's one encoding. */
export function digestOf(request: Request): Hex {
  return toHex(blake3(encodeRequest(request)));
}
