/** The shared material: public vectors, which are no part of this repository; and Node made like a browser. */

import "../verify/node.js";

import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the project: the tests run from `node/ui/dist/test`. */
const root = join(dirname(fileURLToPath(import.meta.url)), "../../../..");

/**
 * The files under `part` of the shared material, in `COUNTERFOIL_SHARED` or beside the checkout, with this extension.
 * Where it is absent a continuous integration run (`CI=true`) fails; any other run gets nothing.
 */
export function sharedFiles(part: string, extension: string): string[] | undefined {
  const folder = join(process.env["COUNTERFOIL_SHARED"] ?? join(root, "../shared"), part);
  if (existsSync(folder)) {
    const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
    return names.filter((name) => name.endsWith(extension)).sort().map((name) => join(folder, name));
  }
  if (process.env["CI"] === "true") throw new Error(`the shared material ${folder} is absent`);
  return undefined;
}

export const ABSENT = "the shared material is absent; COUNTERFOIL_SHARED may name it";
