/** The closed list of statement kinds. */

/** Kinds that change what others may rely on: a head's digest covers every statement of them. */
const STANDING = [
  "organisation",
  "credential",
  "revocation",
  "suspension",
  "status",
  "node",
  "charter",
  "join",
  "admission",
  "amendment",
  "invitation",
  "leave",
  "recognition",
  "agreement",
  "acceptance",
  "profile",
  "activation",
  "action-class",
  "harm-ordering",
  "override",
  "recall",
  "approval",
] as const;

const OTHER = [
  "observation",
  "link",
  "counterfoil",
  "anchor",
  "decision",
  "permit",
  "effect",
  "nonconformity",
  "corrective-action",
  "acknowledgement",
] as const;

export const KINDS = [...STANDING, ...OTHER];

export type Kind = (typeof KINDS)[number];

export function isStanding(kind: Kind): boolean {
  return (STANDING as readonly Kind[]).includes(kind);
}

/** The kind that a content type names. */
export function kindOf(contentType: string): Kind | undefined {
  return KINDS.find((kind) => contentType === `application/vnd.counterfoil.${kind}+cbor`);
}
