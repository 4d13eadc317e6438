/** Proofs that an organisation signed what contradicts itself: its inception, and what its chain key signed. */

import { type Bytes, type Hex, equal } from "./bytes.js";
import { type Checkpoint, openCheckpoint } from "./checkpoint.js";
import { contradiction, parseHead, verifyHead } from "./head.js";
import type { PublicKey } from "./key.js";
import { MISBEHAVIOUR_BYTES_MAX, SUCCESSION_BYTES_MAX } from "./limits.js";
import { readPayload } from "./payload/payload.js";
import * as shape from "./shape.js";
import { OrganisationState } from "./state.js";
import { parseStatement } from "./statement.js";
import { checkConsistency, leafHash, rootOfInclusion } from "./tree.js";

const hash = shape.byteString(32);

const pair = shape.record({ one: shape.required(shape.bytes), other: shape.required(shape.bytes) });

const leaf = shape.record({
  checkpoint: shape.required(shape.bytes),
  digest: shape.required(hash),
  path: shape.required(shape.list(hash)),
});

const misbehaviour = shape.record({
  inception: shape.required(shape.bytes),
  succession: shape.many(shape.bytes),
  evidence: shape.required(
    shape.choice({
      heads: pair,
      checkpoints: pair,
      prefix: shape.record({
        older: shape.required(shape.bytes),
        newer: shape.required(shape.bytes),
        root: shape.required(hash),
        proof: shape.required(shape.list(hash)),
      }),
      leaves: shape.record({
        position: shape.required(shape.u64),
        one: shape.required(leaf),
        other: shape.required(leaf),
      }),
    }),
  ),
});

type Evidence = ReturnType<typeof misbehaviour>["evidence"];

/** Whom the proof convicts, and of what. */
export async function convict(bytes: Bytes): Promise<{ organisation: Hex; how: string }> {
  const proof = shape.document(misbehaviour, bytes, MISBEHAVIOUR_BYTES_MAX, "misbehaviour proof");
  const state = await succeed(proof.inception, proof.succession);
  return { organisation: state.id, how: await check(proof.evidence, state.id, state.epochs.latest.key) };
}

/** Walks from version to version, each with its thresholds; where they stand in their chain takes no part. */
async function succeed(inception: Bytes, succession: Bytes[]): Promise<OrganisationState> {
  const sum = succession.reduce((sum, { length }) => sum + length, inception.length);
  if (succession.length > 0 && sum > SUCCESSION_BYTES_MAX) throw new Error("misbehaviour proof: the versions are too long");
  const state = OrganisationState.founded(parseStatement(inception));
  for (const bytes of [inception, ...succession]) {
    const statement = parseStatement(bytes);
    const { kind } = statement.header;
    const payload = kind === "organisation" ? readPayload(kind, statement.payload) : undefined;
    if (payload?.kind !== "organisation") throw new Error("misbehaviour proof: a version of the organisation is none");
    const { recovery } = payload.says.content;
    if (recovery !== undefined) state.skipTo(recovery.head.size);
    await state.admit(statement);
  }
  return state;
}

const INNOCENT = "misbehaviour proof: what it holds does not contradict itself";

async function check(evidence: Evidence, organisation: Hex, chainKey: PublicKey): Promise<string> {
  const open = async (bytes: Bytes): Promise<Checkpoint> => (await openCheckpoint(bytes, organisation, chainKey))[0];
  const suppose = (holds: boolean): void => {
    if (!holds) throw new Error(INNOCENT);
  };
  switch (evidence.kind) {
    case "heads": {
      const one = await verifyHead(parseHead(evidence.value.one), chainKey);
      const how = contradiction(one, await verifyHead(parseHead(evidence.value.other), chainKey));
      // What the checkpoints alone show has a form of its own.
      suppose((how === "sequence" || how === "order") && one.organisation === organisation);
      return how === "order" ? "a later head that covers fewer statements" : "two heads with one sequence number";
    }
    case "checkpoints": {
      const [one, other] = [await open(evidence.value.one), await open(evidence.value.other)];
      suppose(one.size === other.size && !equal(one.root, other.root));
      return "two roots for one size";
    }
    case "prefix": {
      const { root, proof } = evidence.value;
      const [older, newer] = [await open(evidence.value.older), await open(evidence.value.newer)];
      // Everything follows from the empty tree, so that proves nothing; equal sizes have a form of their own.
      suppose(older.size > 0n && older.size < newer.size && !equal(older.root, root));
      await checkConsistency(older.size, root, newer.size, newer.root, proof);
      return "an older checkpoint that is no prefix of a newer one";
    }
    case "leaves": {
      const { position, one, other } = evidence.value;
      suppose(!equal(one.digest, other.digest));
      for (const proven of [one, other]) {
        const { size, root } = await open(proven.checkpoint);
        suppose(equal(await rootOfInclusion(await leafHash(proven.digest), position, size, proven.path), root));
      }
      return "two statements at one position";
    }
  }
}
