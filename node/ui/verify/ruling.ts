/** What others look at in a recorded verdict. What else it says is the affair of whoever computes it anew. */

import type { Bytes, Hex } from "./bytes.js";
import { type Value, parse } from "./cbor.js";
import { PAYLOAD_BYTES_MAX } from "./limits.js";
import { scopes } from "./payload/parts.js";
import * as shape from "./shape.js";

export interface Ruling {
  granted: Map<string, string[]>;
  /** Where a staged action stands. */
  stage: { class: Hex; cleared: number; of: number } | undefined;
  override: Hex | undefined;
}

/** One field of a map, where it is there. */
function field(value: Value | undefined, wanted: string): Value | undefined {
  if (value === undefined) return undefined;
  return shape.entries(value, "verdict").find(([name]) => name.type === "text" && name.text === wanted)?.[1];
}

function required<T>(value: Value | undefined, name: string, read: shape.Read<T>): T {
  const found = field(value, name);
  if (found === undefined) throw new Error(`verdict: field ${name} is missing`);
  return read(found, `verdict.${name}`);
}

const count = shape.upTo(0xffff_ffff);

export function ruling(verdict: Bytes): Ruling {
  const whole = parse(verdict, PAYLOAD_BYTES_MAX);
  const governed = field(whole, "governed");
  const [stage, overridden] = [field(governed, "stage"), field(governed, "overridden")];
  return {
    granted: required(whole, "scopes", scopes),
    stage:
      stage === undefined
        ? undefined
        : {
            class: required(stage, "class", shape.id),
            cleared: required(stage, "cleared", count),
            of: required(stage, "of", count),
          },
    override: overridden === undefined ? undefined : required(overridden, "statement", shape.id),
  };
}

/** The stage that a permit is for, from one, and how many there are. What is overridden goes ahead outside the stages. */
export function permitStage({ stage, override }: Ruling): [number, number] | undefined {
  const isStaged = stage !== undefined && override === undefined && stage.cleared < stage.of;
  return isStaged ? [stage.cleared + 1, stage.of] : undefined;
}
