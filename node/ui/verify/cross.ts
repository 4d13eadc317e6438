/** Links and counterfoils, held against the receipts that they carry. */

import { type Bytes, type Hex } from "./bytes.js";
import { type Chain, type Chains, all } from "./chain.js";
import { sha256 } from "./digest.js";
import { show, short } from "./ids.js";
import type { Payload } from "./payload/payload.js";
import { checkReceipt } from "./receipt.js";
import { type Report, message } from "./report.js";

/** The other side of a cross-reference, with the proof that it stands there. */
interface Half {
  organisation: Hex;
  position: bigint;
  statement: Hex;
  receipt: Bytes;
  checkpoint: Bytes;
}

function half(payload: Payload): Half | undefined {
  if (payload.kind === "link") return payload.says.target;
  if (payload.kind === "counterfoil") return { ...payload.says, statement: payload.says.link };
  return undefined;
}

export async function checkCrossReferences(chains: Chains, report: Report): Promise<void> {
  for (const { payload, statement } of all(chains)) {
    const other = half(payload);
    if (other === undefined) continue;
    const input = show("stmt", statement.id);
    const chain = chains.get(other.organisation);
    if (chain === undefined) {
      report.open(payload.kind, input, `the chain of ${short("org", other.organisation)} is not here`);
      continue;
    }
    const name = show("stmt", other.statement);
    try {
      if (await isReceipted(chain, other)) report.pass(payload.kind, input, `its receipt proves ${name}`);
      else report.open(payload.kind, input, `${name} is withheld, so its receipt cannot be checked`);
    } catch (error) {
      report.fail(payload.kind, input, message(error));
    }
  }
}

/** Whether the receipt proves the statement; false where the statement is not here. */
async function isReceipted(chain: Chain, other: Half): Promise<boolean> {
  const { organisation, position, statement } = other;
  const [checkpoint, key] = await chain.state.epochs.openCheckpoint(other.checkpoint);
  await chain.checkBeginning(checkpoint.size, checkpoint.root);
  const found = chain.find(statement);
  if (found === undefined) return false;
  if (found.position !== position) throw new Error(`it stands at ${found.position}, not at ${position}`);
  await checkReceipt(other.receipt, organisation, key, await sha256(found.statement.bytes), checkpoint);
  return true;
}
