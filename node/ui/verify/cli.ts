/**
 * Verifies bundles on the command line: `node dist/verify/cli.js [--trust FILE] FILE...`. Prints one JSON object a line,
 * `{file, verified, checks, times, does_not_prove}`. Ends with 0 if all verify, 3 if one does not, 1 if one cannot be read, 2 on wrong usage.
 */

import "./node.js";

import { readFile } from "node:fs/promises";

import { DOES_NOT_PROVE, type StatementTimes } from "./report.js";
import { TrustFile } from "./trust.js";
import { verify } from "./verify.js";

/** Seconds as texts: they have 64 bits, JSON's numbers have not. */
function shown({ statement, notBefore, notAfter }: StatementTimes): Record<string, string | undefined> {
  return { statement, not_before: notBefore?.toString(), not_after: notAfter?.toString() };
}

const USAGE = "usage: cli.js [--trust FILE] FILE...";

async function main(words: string[]): Promise<number> {
  const [trustPath, paths] = words[0] === "--trust" ? [words[1], words.slice(2)] : [undefined, words];
  if (paths.length === 0 || paths.some((path) => path.startsWith("--"))) {
    console.error(USAGE);
    return 2;
  }
  const trust = trustPath === undefined ? undefined : await TrustFile.parse(await readFile(trustPath, "utf8"));
  let code = 0;
  for (const file of paths) {
    const { verified, checks, times } = await verify(new Uint8Array(await readFile(file)), trust);
    console.log(JSON.stringify({ file, verified, checks, times: times.map(shown), does_not_prove: DOES_NOT_PROVE }));
    if (!verified) code = 3;
  }
  return code;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
