/** Payloads that say who may say what: organisations, credentials, revocations, suspensions, statuses, bindings. */

import { type Bytes, type Hex, concat, utf8 } from "../bytes.js";
import { type ClaimedHead, parseHead } from "../head.js";
import { type PublicKey, publicKey } from "../key.js";
import { KINDS, type Kind } from "../kind.js";
import { APPROVERS_MAX, PATTERNS_MAX, PAYLOAD_BYTES_MAX, ROOT_KEYS_MAX, PROOF_HASHES_MAX, RECOVERY_ASKED_MAX } from "../limits.js";
import * as shape from "../shape.js";
import { isLabel, matches, rule } from "./parts.js";

const endorsed = shape.record({
  body: shape.required(shape.bytes),
  approvals: shape.many(shape.record({ key: shape.required(shape.id), signature: shape.required(shape.byteString(64)) })),
});

/** An act that may need several root keys: its content as bytes, and signatures over them beside the envelope's. */
export type Endorsed = ReturnType<typeof endorsed>;

export function endorsedContent<T>(read: shape.Read<T>): shape.Read<{ content: T; endorsed: Endorsed }> {
  return (value, where) => {
    const found = endorsed(value, where);
    return { content: shape.document(read, found.body, PAYLOAD_BYTES_MAX, `${where}.body`), endorsed: found };
  };
}

/** How many of these keys stand behind the act; the key of the envelope does without an approval. */
export async function countApprovals(kind: Kind, act: Endorsed, keys: PublicKey[], envelope: Hex): Promise<number> {
  const message = concat(utf8(`counterfoil/approval/v1\n${kind}\n`), act.body);
  const approvals = act.approvals.slice(0, 2 * ROOT_KEYS_MAX);
  const approves = async (key: PublicKey): Promise<boolean> => {
    if (key.id === envelope) return true;
    for (const approval of approvals) {
      if (approval.key === key.id && (await key.verifies(approval.signature, message))) return true;
    }
    return false;
  };
  let count = 0;
  for (const key of keys.slice(0, ROOT_KEYS_MAX)) count += (await approves(key)) ? 1 : 0;
  return count;
}

const recoveryFields = shape.record({
  base: shape.required(shape.bytes),
  proof: shape.many(shape.byteString(32)),
  reason: shape.required(shape.text),
  lost: shape.optional(shape.record({ seq: shape.required(shape.u64), size: shape.required(shape.u64) })),
  asked: shape.many(shape.id),
  alone: shape.otherwise(shape.bool, false),
});

/** Ends the chain key's epoch with a head that it signed, the base, and begins the next. */
export type Recovery = ReturnType<typeof recoveryFields> & { head: ClaimedHead };

const recovery: shape.Read<Recovery> = (value, where) => {
  const found = recoveryFields(value, where);
  rule(isLabel(found.reason), "a recovery has a reason of 1 to 256 bytes");
  const { asked, lost, proof } = found;
  const inOrder = asked.every((id, at) => at === 0 || (asked[at - 1] ?? "") < id);
  rule(asked.length <= RECOVERY_ASKED_MAX && inOrder, "those who were asked are too many, or not in order and each once");
  const head = parseHead(found.base);
  const isLater = lost === undefined || (lost.seq > head.seq && lost.size > head.size);
  rule(
    head.size > 0n && isLater && proof.length <= PROOF_HASHES_MAX,
    "the base of the recovery covers nothing, or the head that was lost is no later one",
  );
  return { ...found, head };
};

const organisationFields = shape.record({
  version: shape.required(shape.u64),
  name: shape.required(shape.text),
  domains: shape.many(shape.text),
  jurisdictions: shape.many(shape.text),
  parent: shape.optional(shape.text),
  "root-keys": shape.required(shape.list(publicKey)),
  threshold: shape.required(shape.upTo(255)),
  "next-root-keys": shape.many(shape.id),
  "chain-key": shape.required(publicKey),
  "witness-key": shape.required(publicKey),
  "activation-quorum": shape.optional(
    shape.record({ approvals: shape.required(shape.upTo(255)), roles: shape.many(shape.text) }),
  ),
  recovery: shape.optional(recovery),
});

export type Organisation = ReturnType<typeof organisationFields>;

export const organisation: shape.Read<Organisation> = (value, where) => {
  const found = organisationFields(value, where);
  const ids = new Set(found["root-keys"].map((key) => key.id));
  const keys = found["root-keys"].length;
  rule(keys > 0 && keys <= ROOT_KEYS_MAX && ids.size === keys, `${keys} root keys, where 1 to ${ROOT_KEYS_MAX} different ones are allowed`);
  rule(found.threshold > 0 && found.threshold <= keys, `threshold ${found.threshold} of ${keys} root keys`);
  rule(isLabel(found.name), "a name has 1 to 256 bytes");
  const quorum = found["activation-quorum"];
  rule(
    quorum === undefined ||
      (quorum.approvals > 0 &&
        quorum.approvals <= APPROVERS_MAX &&
        quorum.roles.length <= PATTERNS_MAX &&
        quorum.roles.every(isLabel)),
    `an activation is approved by 1 to ${APPROVERS_MAX} authorities, of at most ${PATTERNS_MAX} roles`,
  );
  const all = new Set([...ids, found["chain-key"].id, found["witness-key"].id]);
  rule(all.size === keys + 2, "root, chain and witness keys must all be different");
  rule(found.recovery === undefined || found.version !== 0n, "an inception recovers nothing");
  return found;
};

export const AUTHORITY_KINDS = ["human-role", "sensor", "model", "service", "external-body"] as const;

const scope = shape.record({
  kinds: shape.required(shape.list(shape.oneOf(KINDS))),
  claims: shape.many(shape.text),
  subjects: shape.many(shape.text),
});

type Scope = ReturnType<typeof scope>;

const credentialFields = shape.record({
  key: shape.required(publicKey),
  kind: shape.required(shape.oneOf(AUTHORITY_KINDS)),
  role: shape.required(shape.text),
  scopes: shape.required(shape.list(scope)),
  jurisdictions: shape.many(shape.text),
  competence: shape.many(
    shape.record({ what: shape.required(shape.text), by: shape.required(shape.text), until: shape.required(shape.u64) }),
  ),
  not_before: shape.required(shape.u64),
  expires: shape.optional(shape.u64),
  delegation: shape.otherwise(shape.upTo(255), 0),
  issuer: shape.optional(shape.id),
  authority: shape.optional(shape.id),
  overrides: shape.optional(
    shape.record({ count: shape.required(shape.upTo(0xffff_ffff)), window_s: shape.required(shape.u64) }),
  ),
});

export type Credential = ReturnType<typeof credentialFields>;

export const credential: shape.Read<Credential> = (value, where) => {
  const found = credentialFields(value, where);
  rule(isLabel(found.role), "a role has 1 to 256 bytes");
  rule(found.scopes.some((scope) => scope.kinds.length > 0), "it has no scope, so it would allow nothing");
  const budget = found.overrides;
  rule(
    budget === undefined || (budget.count > 0 && budget.window_s > 0n),
    "a budget of overrides has one at least, in one second at least",
  );
  rule(found.expires === undefined || found.expires >= found.not_before, "it expires before it is valid");
  return found;
};

/** Whether a credential lets its holder sign this. */
export function covers(holder: Credential, kind: Kind, claim: string | undefined, subject: string | undefined): boolean {
  return holder.scopes.some(
    (scope) =>
      scope.kinds.includes(kind) &&
      (claim === undefined || scope.claims.some((pattern) => matches(pattern, claim))) &&
      (scope.subjects.length === 0 ||
        (subject !== undefined && scope.subjects.some((pattern) => matches(pattern, subject)))),
  );
}

/** Whether everything that fulfils the narrow pattern fulfils the wide one. */
function contains(wide: string, narrow: string): boolean {
  if (!wide.endsWith("*")) return wide === narrow;
  return (narrow.endsWith("*") ? narrow.slice(0, -1) : narrow).startsWith(wide.slice(0, -1));
}

function isWithin(narrow: Scope, wide: Scope): boolean {
  const each = (those: string[], within: string[]): boolean =>
    those.every((one) => within.some((other) => contains(other, one)));
  return (
    narrow.kinds.every((kind) => wide.kinds.includes(kind)) &&
    each(narrow.claims, wide.claims) &&
    (wide.subjects.length === 0 || (narrow.subjects.length > 0 && each(narrow.subjects, wide.subjects)))
  );
}

/** In what a credential goes beyond that of its issuer. */
export function widens(own: Credential, issuer: Credential): string | undefined {
  if (own.delegation >= issuer.delegation) return "delegation depth";
  if (!own.scopes.every((narrow) => issuer.scopes.some((wide) => isWithin(narrow, wide)))) return "scope";
  const regions = issuer.jurisdictions;
  if (regions.length > 0 && (own.jurisdictions.length === 0 || !own.jurisdictions.every((one) => regions.includes(one)))) {
    return "jurisdictions";
  }
  const [budget, limit] = [own.overrides, issuer.overrides];
  if (budget !== undefined && (limit === undefined || budget.count > limit.count || budget.window_s < limit.window_s)) {
    return "overrides";
  }
  const outlives = issuer.expires !== undefined && (own.expires === undefined || own.expires > issuer.expires);
  return outlives || own.not_before < issuer.not_before ? "validity" : undefined;
}

export const revocation = shape.record({
  authority: shape.required(shape.id),
  reason: shape.required(shape.text),
  compromised_since: shape.optional(shape.u64),
  compromised_at: shape.optional(shape.u64),
});

export const suspension = shape.record({
  authority: shape.required(shape.id),
  reason: shape.required(shape.text),
  lifted: shape.otherwise(shape.bool, false),
});

export const status = shape.record({
  revoked: shape.many(shape.id),
  suspended: shape.many(shape.id),
  next_by: shape.required(shape.u64),
});

export const nodeBinding = shape.record({
  mesh: shape.optional(shape.id),
  peer_key: shape.required(publicKey),
  counter: shape.required(shape.u64),
  expires: shape.required(shape.u64),
  addresses: shape.many(shape.text),
  peer_signature: shape.required(shape.byteString(64)),
});

export type NodeBinding = ReturnType<typeof nodeBinding>;

/** What the peer's key signs to agree to a binding. */
export function bindingMessage(organisation: Bytes, counter: Bytes, expires: Bytes, peer: PublicKey): Bytes {
  return concat(utf8("counterfoil/node/v1\n"), organisation, peer.tagged, counter, expires);
}
