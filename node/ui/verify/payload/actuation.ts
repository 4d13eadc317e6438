/** Decisions and what follows from them: permits, effects, nonconformities. */

import { CborError, type Value } from "../cbor.js";
import { label } from "../cose.js";
import * as shape from "../shape.js";
import { mode, reversibility, rule, scopes, subject, texts } from "./parts.js";

const request = shape.record({
  action: shape.required(shape.text),
  subjects: shape.required(shape.list(subject)),
  actuator: shape.required(shape.text),
  scopes: shape.otherwise(scopes, new Map()),
  predicted: shape.otherwise(texts, new Map()),
  reversibility: shape.required(reversibility),
  harm: shape.many(shape.text),
  purpose: shape.otherwise(shape.text, ""),
});

/** What somebody wants to do. */
export type Request = ReturnType<typeof request>;

const basis = shape.record({
  organisation: shape.required(shape.id),
  head: shape.required(shape.bytes),
  cosignatures: shape.many(shape.text),
  seen: shape.required(shape.u64),
});

/** What a decider knew of one chain. */
export type Basis = ReturnType<typeof basis>;

const since = shape.record({ since: shape.optional(shape.u64) });

const answered = shape.choice({
  answered: shape.record({
    named: shape.required(shape.uint(32)),
    came: shape.required(shape.uint(32)),
    missing: shape.required(shape.uint(32)),
  }),
  silent: since,
  unreachable: since,
});

/** What came of asking an organisation for evidence. */
const inquiry = shape.record({
  organisation: shape.required(shape.id),
  answer: shape.required((value, where) =>
    value.type === "text" ? shape.oneOf(["refused"])(value, where) : answered(value, where),
  ),
});

export const decision = shape.record({
  request: shape.required(request),
  time: shape.required(shape.u64),
  mesh: shape.optional(shape.id),
  activation: shape.required(shape.id),
  basis: shape.required(shape.list(basis)),
  inquiries: shape.many(inquiry),
  // Whose silence leaves a requirement unknown.
  silence: shape.otherwise(shape.oneOf(["named", "recognised"]), "named"),
  evidence: shape.required(
    shape.list(
      shape.record({
        organisation: shape.required(shape.id),
        position: shape.required(shape.u64),
        statement: shape.required(shape.id),
      }),
    ),
  ),
  forked: shape.many(shape.id),
  mode: shape.required(mode),
  verdict: shape.required(shape.bytes),
});

export type Decision = ReturnType<typeof decision>;

/** The claims of a permit, which is a CWT (RFC 8392). */
export interface Permit {
  decision: string;
  mode: ReturnType<typeof mode>;
  scopes: ReturnType<typeof scopes>;
  actuator: string;
  /** From one, and how many there are. */
  stage: [number, number] | undefined;
}

const u32 = shape.upTo(0xffff_ffff);

const stage: shape.Read<[number, number]> = (value, where) => {
  const [current, of] = shape.pair(u32, u32)(value, where);
  rule(current >= 1 && current <= of, "a stage is one of those that there are");
  return [current, of];
};

export const permit: shape.Read<Permit> = (value, where) => {
  const claims = new Map<bigint, Value>();
  for (const [name, item] of shape.entries(value, where)) {
    const found = label(name);
    if (typeof found !== "bigint") throw new CborError(`wrong shape: ${where}: a claim is no integer`);
    claims.set(found, item);
  }
  const take = <T>(name: bigint, read: shape.Read<T>): T => {
    const item = claims.get(name);
    if (item === undefined) throw new CborError(`wrong shape: ${where}: claim ${name} is missing`);
    claims.delete(name);
    return read(item, `${where}.${name}`);
  };
  const found: Permit = {
    decision: take(-70_001n, shape.id),
    mode: take(-70_002n, mode),
    scopes: take(-70_003n, scopes),
    actuator: take(3n, shape.text),
    stage: claims.has(-70_005n) ? take(-70_005n, stage) : undefined,
  };
  // Not before, until when, by when its effect is reported, and what makes it usable once.
  for (const time of [5n, 4n, -70_004n]) take(time, shape.u64);
  take(7n, shape.bytes);
  for (const name of claims.keys()) throw new CborError(`wrong shape: ${where}: claim ${name} has no place here`);
  rule(found.mode === "continue" || found.mode === "partial", `there is no permit for mode ${found.mode}`);
  return found;
};

const mismatch = shape.record({
  name: shape.required(shape.text),
  predicted: shape.required(shape.text),
  observed: shape.optional(shape.text),
});

export const effect = shape.record({
  permit: shape.required(shape.id),
  effective: shape.required(shape.u64),
  observed: shape.required(texts),
  mismatches: shape.many(mismatch),
});

export type Effect = ReturnType<typeof effect>;

export const nonconformity = shape.record({
  cause: shape.required(shape.id),
  finding: shape.required(shape.text),
});
