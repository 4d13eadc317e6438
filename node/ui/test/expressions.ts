/**
 * Looks into observations, for tests that compare: reads lines `{expression, observation, time}` with the payload in
 * hexadecimal, and writes one line for each: what it came to, or that it was not read.
 */

import { createInterface } from "node:readline";

import { fromHex } from "../verify/bytes.js";
import { Undecided } from "../verify/expression/evaluate.js";
import { isSatisfiedBy } from "../verify/expression/observed.js";
import { Unread, parseExpression } from "../verify/expression/syntax.js";
import { readPayload } from "../verify/payload/payload.js";

function judge(line: string): Record<string, unknown> {
  const { expression, observation, time } = JSON.parse(line) as Record<string, string>;
  const payload = readPayload("observation", fromHex(observation ?? ""));
  if (payload.kind !== "observation") throw new Error("no observation");
  try {
    return { holds: isSatisfiedBy(parseExpression(expression ?? ""), payload.says, BigInt(time ?? "")) };
  } catch (error) {
    if (error instanceof Unread) return { unread: error.message };
    if (error instanceof Undecided) return { undecided: error.message };
    throw error;
  }
}

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(judge(line)));
