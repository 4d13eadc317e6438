/** What a statement says, by kind. */

import type { Bytes } from "../bytes.js";
import type { Kind } from "../kind.js";
import { PAYLOAD_BYTES_MAX } from "../limits.js";
import { type Read, document } from "../shape.js";
import { decision, effect, nonconformity, permit } from "./actuation.js";
import { actionClass, correctiveAction, harmOrdering, override } from "./governance.js";
import { credential, endorsedContent, nodeBinding, organisation, revocation, status, suspension } from "./identity.js";
import {
  acceptance,
  acknowledgement,
  admission,
  agreement,
  amendment,
  anchor,
  charter,
  counterfoil,
  invitation,
  join,
  leave,
  link,
  recall,
  recognition,
} from "./mesh.js";
import { observation } from "./observation.js";
import { activation, profile } from "./profile.js";

const READERS = {
  organisation: endorsedContent(organisation),
  credential: endorsedContent(credential),
  revocation: endorsedContent(revocation),
  suspension: endorsedContent(suspension),
  status,
  node: nodeBinding,
  charter,
  join,
  admission,
  amendment,
  invitation,
  leave,
  recognition,
  agreement,
  acceptance,
  profile,
  activation,
  approval: activation,
  "action-class": actionClass,
  "harm-ordering": harmOrdering,
  override,
  recall,
  observation,
  link,
  counterfoil,
  anchor,
  decision,
  permit,
  effect,
  nonconformity,
  "corrective-action": correctiveAction,
  acknowledgement,
} satisfies Record<Kind, Read<unknown>>;

export type Payload = { [K in Kind]: { kind: K; says: ReturnType<(typeof READERS)[K]> } }[Kind];

/** Reads a payload, and checks what can be checked of it alone. */
export function readPayload(kind: Kind, bytes: Bytes): Payload {
  return { kind, says: document<unknown>(READERS[kind], bytes, PAYLOAD_BYTES_MAX, kind) } as Payload;
}
