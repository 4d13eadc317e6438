/** A request's one encoding: what an override is about. */

import type { Bytes } from "../bytes.js";
import { type Value, encode } from "../cbor.js";
import type { Request } from "../payload/actuation.js";
import type { Subject } from "../payload/parts.js";
import { array, dictionary, id, many, optional, record, scopes, text } from "./verdict.js";

function subject(one: Subject): Value {
  switch (one.kind) {
    case "artifact": {
      const { digest, label } = one.value;
      const { algorithm, value } = digest;
      return record({
        artifact: record({
          digest: record({ algorithm: text(algorithm), value: { type: "bytes", bytes: value } }),
          label: optional(label, text),
        }),
      });
    }
    case "named":
      return record({ named: text(one.value) });
    case "statement":
      return record({ statement: id(one.value) });
  }
}

export function encodeRequest(request: Request): Bytes {
  return encode(
    record({
      action: text(request.action),
      subjects: array(request.subjects, subject),
      actuator: text(request.actuator),
      scopes: request.scopes.size === 0 ? undefined : scopes(request.scopes),
      predicted: request.predicted.size === 0 ? undefined : dictionary(request.predicted, text),
      reversibility: text(request.reversibility),
      harm: many(request.harm, text),
      purpose: request.purpose === "" ? undefined : text(request.purpose),
    }),
  );
}
