/** Completeness for a period: every entry of a part of a chain is here, between what was issued before and after it. */

import type { Manifest, Range } from "./bundle.js";
import type { Chain, Chains } from "./chain.js";
import { short } from "./ids.js";
import type { Report } from "./report.js";

/** What the manifest alone says wrongly about its ranges. */
export function checkManifest(manifest: Manifest, report: Report): void {
  if ((manifest.ranges.length === 0) !== (manifest.period === undefined)) {
    report.fail("range", "the manifest", "ranges and a period go together");
  }
  const named = new Set<string>();
  for (const { organisation } of manifest.ranges) {
    if (named.has(organisation)) report.fail("range", short("org", organisation), "the manifest names its chain twice");
    named.add(organisation);
  }
}

export function checkRanges(manifest: Manifest, chains: Chains, report: Report): void {
  for (const range of manifest.ranges) {
    const input = short("org", range.organisation);
    const chain = chains.get(range.organisation);
    if (chain === undefined) {
      report.fail("range", input, "its chain is not here");
    } else if (range.from > range.to || range.to > chain.head.size) {
      report.fail("range", input, "it does not lie within its chain");
    } else {
      checkEntries(range, chain, report);
      if (manifest.period !== undefined) checkBorders(range, chain, manifest.period, report);
    }
  }
}

function checkEntries({ organisation, from, to }: Range, chain: Chain, report: Report): void {
  const input = short("org", organisation);
  const within = (position: bigint): boolean => position >= from && position < to;
  // Counted, not walked: a range is as long as somebody says it is.
  const present = chain.statements.filter((one) => within(one.position)).length;
  const withheld = [...chain.withheld].filter(within).length;
  const missing = to - from - BigInt(present + withheld);
  if (missing > 0n) {
    report.fail("range", input, `${missing} positions were left out between ${from} and ${to}`);
  } else if (withheld > 0) {
    report.open("range", input, `positions ${from} to ${to}: ${present} statements here, ${withheld} withheld`);
  } else {
    report.pass("range", input, `positions ${from} to ${to}: all ${present} statements are here`);
  }
}

function checkBorders({ organisation, from, to }: Range, chain: Chain, [first, last]: [bigint, bigint], report: Report): void {
  const input = short("org", organisation);
  const before = chain.at(from - 1n)?.statement.header.issuedAt;
  const after = chain.at(to)?.statement.header.issuedAt;
  if ((before !== undefined && before >= first) || (after !== undefined && after <= last)) {
    report.fail("period", input, "a statement of the period stands outside of the range");
  } else if ((before === undefined && from > 0n) || (after === undefined && to < chain.head.size)) {
    report.open("period", input, "a statement at its border is withheld");
  } else {
    report.pass("period", input, `bounded by what was issued before ${first} and after ${last}`);
  }
}
