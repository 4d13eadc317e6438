/** What an expression sees of one observation: `content` and `metrics` are maps, `claim` a text, `age_days` a number. */

import type { Value } from "../cbor.js";
import { EXPRESSION_VALUES_MAX } from "../limits.js";
import type { Observation } from "../payload/observation.js";
import { since } from "../times.js";
import { type Data, Undecided, dataOf, holds } from "./evaluate.js";
import type { Expression } from "./syntax.js";

const DAY = 86_400n;

function count(value: Value): number {
  const inner = value.type === "array" ? value.items : value.type === "map" ? value.entries.map(([, item]) => item) : [];
  return inner.reduce((sum, item) => sum + count(item), 1);
}

/** Whether the observation satisfies the expression at this time. */
export function isSatisfiedBy(expression: Expression, observation: Observation, time: bigint): boolean {
  const values = [...observation.content.values()].reduce((sum, value) => sum + count(value), 0);
  if (values > EXPRESSION_VALUES_MAX) throw new Undecided(`its content has more than ${EXPRESSION_VALUES_MAX} values`);
  const variables = new Map<string, Data>([
    ["claim", observation.claim],
    ["adverse", observation.adverse],
    ["age_days", since(time, observation.effective) / DAY],
    ["content", new Map([...observation.content].map(([name, value]) => [name, dataOf(value)]))],
    ["metrics", new Map(observation.metrics.map(({ name, ppm }) => [name, ppm]))],
  ]);
  return holds(expression, variables);
}
