/** The verifier of bundles: the file first, then each chain, then what the statements say about each other. */

import { checkActuation } from "./actuation.js";
import type { Bytes, Hex } from "./bytes.js";
import { BundleError, Items, type Manifest, sealHolds } from "./bundle.js";
import { type Chains, verifyChain } from "./chain.js";
import { cosignaturesBeside } from "./cosignature.js";
import { checkCrossReferences } from "./cross.js";
import { checkDecisions, checkExpressions } from "./decisions.js";
import { checkGaps } from "./gaps.js";
import { short } from "./ids.js";
import { convict } from "./misbehaviour.js";
import { checkManifest, checkRanges } from "./ranges.js";
import { Report, message } from "./report.js";
import { timesOf } from "./times.js";
import type { TrustFile } from "./trust.js";

/** Verifies a bundle from its own bytes, and holds its chains against what an auditor trusts. */
export async function verify(file: Bytes, trust?: TrustFile): Promise<Report> {
  const report = new Report();
  if (sealHolds(file)) report.pass("file-digest", "the file", "its bytes are as they were written");
  else report.fail("file-digest", "the file", "its bytes were changed after it was written, or cut off");
  let read: [Manifest, Chains];
  try {
    read = await readChains(file, report);
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    report.fail("file-form", "the file", error.message);
    return report;
  }
  const [manifest, chains] = read;
  await trust?.check(chains, report);
  const forked = await checkMisbehaviour(manifest, report);
  checkGaps(manifest, chains, report);
  checkRanges(manifest, chains, report);
  report.times = await timesOf(chains);
  await checkCrossReferences(chains, report);
  checkExpressions(chains, report);
  await checkDecisions(chains, forked, new Set(manifest.limited), report);
  checkActuation(chains, report);
  return report;
}

/** Reads the file to its end. Chains that do not verify are reported and left out; the others are in order of their ids. */
async function readChains(file: Bytes, report: Report): Promise<[Manifest, Chains]> {
  const items = new Items(file);
  const manifest = items.manifest();
  checkManifest(manifest, report);
  const found: Chains = new Map();
  const lines = new Map<Hex, string[]>();
  const disclosed = { count: 0 };
  for (let n = 0n; n < manifest.sections; n++) {
    const section = items.section();
    const chain = await verifyChain(section, items.entries(section.entries), disclosed, report);
    if (chain === undefined) continue;
    const { organisation } = section;
    if (found.has(organisation)) report.fail("file-form", short("org", organisation), "the chain occurs twice");
    found.set(organisation, chain);
    lines.set(organisation, section.cosignatures);
  }
  items.end();
  const chains = new Map([...found].sort(([one], [other]) => (one < other ? -1 : 1)));
  for (const organisation of chains.keys()) await checkCosignatures(organisation, lines.get(organisation) ?? [], chains, report);
  return [manifest, chains];
}

/** Witnesses are the organisations whose chains are here. Every line has to be one of theirs that verifies. */
async function checkCosignatures(organisation: Hex, lines: string[], chains: Chains, report: Report): Promise<void> {
  const chain = chains.get(organisation);
  if (chain === undefined) return;
  const input = short("org", organisation);
  const witnesses = new Map([...chains].map(([id, one]) => [id, one.state.description["witness-key"]]));
  try {
    const seen = await cosignaturesBeside(chain.head.note, lines, organisation, witnesses);
    if (seen.size !== lines.length) throw new Error("a line is of no organisation in this bundle");
    chain.seen = seen;
    report.pass("cosignatures", input, `${seen.size} other organisations had seen this head`);
  } catch (error) {
    report.fail("cosignatures", input, message(error));
  }
}

/** Checks the proofs of misbehaviour; gives whom they convict. */
async function checkMisbehaviour(manifest: Manifest, report: Report): Promise<Set<Hex>> {
  const forked = new Set<Hex>();
  for (const proof of manifest.misbehaviour) {
    try {
      const { organisation, how } = await convict(proof);
      forked.add(organisation);
      report.pass("misbehaviour", short("org", organisation), `it signed what contradicts itself: ${how}`);
    } catch (error) {
      report.fail("misbehaviour", "a proof in the manifest", message(error));
    }
  }
  return forked;
}
