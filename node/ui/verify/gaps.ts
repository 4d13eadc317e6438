/** Everything that a bundle is about, and everything that its statements rest on, is here or named as absent. */

import type { Hex } from "./bytes.js";
import type { Manifest } from "./bundle.js";
import { type Chains, all } from "./chain.js";
import { show } from "./ids.js";
import { references } from "./references.js";
import type { Report } from "./report.js";

export function checkGaps(manifest: Manifest, chains: Chains, report: Report): void {
  const statements = all(chains);
  const present = new Set(statements.map((one) => one.statement.id));
  const absent = new Set(manifest.absent);
  const limited = new Set(manifest.limited);
  for (const id of manifest.about.filter((id) => !present.has(id))) {
    report.fail("about", show("stmt", id), "the bundle is about it, and it is not here");
  }
  if (manifest.about.length === 0 && manifest.ranges.length === 0) {
    report.fail("about", "the manifest", "the bundle is about nothing");
  }
  const needed = new Map<Hex, Hex>();
  for (const verified of statements) {
    for (const id of references(verified)) needed.set(id, verified.statement.id);
  }
  const missing = [...needed].filter(([id]) => !present.has(id)).sort(([one], [other]) => (one < other ? -1 : 1));
  for (const [id, by] of missing) {
    const who = `${show("stmt", by)} refers to it`;
    if (limited.has(id)) report.open("gap", show("stmt", id), `${who}; it is limited to others than this file is for`);
    else if (absent.has(id)) report.open("gap", show("stmt", id), `${who}; it is withheld from, or unknown to, the bundle's writer`);
    else report.fail("gap", show("stmt", id), `${who}, and it was left out`);
  }
  const idle = [...absent, ...limited].find((id) => present.has(id) || !needed.has(id));
  if (idle !== undefined) {
    report.fail("gap", show("stmt", idle), "the manifest calls it absent, which is wrong or without meaning");
  }
  const twice = [...absent].find((id) => limited.has(id));
  if (twice !== undefined) report.fail("gap", show("stmt", twice), "the manifest calls it absent for two reasons");
  if (missing.length === 0) {
    report.pass("gaps", "the lineage", `each of the ${needed.size} statements referred to is here`);
  }
}
