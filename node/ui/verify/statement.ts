/**
 * The envelope of a statement: a tagged COSE_Sign1 with an empty unprotected header and SCITT's headers.
 *
 * ```text
 * 18([ << { 1: -8, 3: content type, 4: kid, 15: { 1: iss, 2: sub, 6: iat }, ? "refs": [+ statement id],
 *           ? "visibility": text, ? "agreement": statement id } >>, {}, payload bytes, signature bytes ])
 * ```
 */

import { type Bytes, type Hex, toHex, utf8 } from "./bytes.js";
import { type Entries, type Value, parse } from "./cbor.js";
import { ALG_EDDSA, CoseError, label, parseSign1, toBeSigned } from "./cose.js";
import { idOf } from "./digest.js";
import { readId } from "./ids.js";
import type { PublicKey } from "./key.js";
import { type Kind, isStanding, kindOf } from "./kind.js";
import { LABEL_BYTES_MAX, PAYLOAD_BYTES_MAX, REFS_MAX, STATEMENT_BYTES_MAX } from "./limits.js";

interface Header {
  kind: Kind;
  /** Names the key that made the signature. */
  key: Hex;
  /** Absent in an inception alone, whose digest is the organisation's id. */
  issuer?: Hex;
  subject?: string;
  issuedAt: bigint;
  refs: Hex[];
  /** The agreement whose parties alone may read it. */
  agreement?: Hex;
}

export interface Statement {
  id: Hex;
  bytes: Bytes;
  header: Header;
  organisation: Hex;
  payload: Bytes;
  signature: Bytes;
  protected: Bytes;
}

class HeaderError extends Error {
  constructor(what: string) {
    super(`protected header: ${what}`);
  }
}

export function parseStatement(bytes: Bytes): Statement {
  if (bytes.length > STATEMENT_BYTES_MAX) {
    throw new Error(`a statement has at most ${STATEMENT_BYTES_MAX} bytes, this has ${bytes.length}`);
  }
  const parts = parseSign1(bytes);
  if (parts.payload.length > PAYLOAD_BYTES_MAX) throw new CoseError("the payload is too long");
  const header = readHeader(parts.protected);
  const id = idOf(bytes);
  return { id, bytes, header, organisation: header.issuer ?? id, ...parts };
}

/** Whether this key, which the statement names, made its signature. */
export async function isAuthentic(statement: Statement, key: PublicKey): Promise<boolean> {
  const message = toBeSigned(statement.protected, statement.payload);
  return key.id === statement.header.key && (await key.verifies(statement.signature, message));
}

function readHeader(bytes: Bytes): Header {
  const value = parse(bytes, bytes.length);
  if (value.type !== "map") throw new HeaderError("it is not a map");
  let algorithm: bigint | undefined;
  let kind: Kind | undefined;
  let key: Hex | undefined;
  let claims: Claims | undefined;
  let refs: Hex[] = [];
  let visibility = "mesh";
  let agreement: Hex | undefined;
  for (const [name, item] of value.entries) {
    const found = label(name);
    if (found === 1n && item.type === "int") algorithm = item.int;
    else if (found === 3n && item.type === "text") kind = kindOf(item.text);
    else if (found === 4n && item.type === "bytes" && item.bytes.length === 32) key = toHex(item.bytes);
    else if (found === 15n && item.type === "map") claims = readClaims(item.entries);
    else if (found === "refs" && item.type === "array") refs = readRefs(item.items);
    else if (found === "visibility" && item.type === "text") {
      visibility = item.text;
      // Mesh is said by leaving it out.
      if (visibility !== "parties" && visibility !== "private") throw new HeaderError("visibility is not known");
    } else if (found === "agreement" && item.type === "bytes" && item.bytes.length === 32) agreement = toHex(item.bytes);
    else throw new HeaderError(`label ${found ?? "of another type"} has no place here`);
  }
  if (algorithm !== ALG_EDDSA) throw new HeaderError("algorithm (label 1) is not EdDSA");
  if (kind === undefined) throw new HeaderError("content type (label 3) is missing or not known");
  if (key === undefined) throw new HeaderError("key id (label 4) is missing");
  if (claims === undefined) throw new HeaderError("claims (label 15) are missing");
  if ((visibility === "parties") !== (agreement !== undefined)) {
    throw new HeaderError("visibility is parties with an agreement, or private without one");
  }
  if (isStanding(kind) && visibility !== "mesh") {
    throw new HeaderError(`a ${kind} statement is visible to the whole mesh`);
  }
  if (claims.issuer === undefined && kind !== "organisation") throw new HeaderError("issuer is missing");
  return { kind, key, refs, ...(agreement !== undefined && { agreement }), ...claims };
}

type Claims = Pick<Header, "issuer" | "subject" | "issuedAt">;

function readClaims(entries: Entries): Claims {
  let issuer: Hex | undefined;
  let subject: string | undefined;
  let issuedAt: bigint | undefined;
  for (const [name, item] of entries) {
    const found = label(name);
    if (found === 1n && item.type === "text") {
      issuer = readId("org", item.text);
      if (issuer === undefined) throw new HeaderError("the issuer is no organisation's id");
    } else if (found === 2n && item.type === "text" && utf8(item.text).length <= LABEL_BYTES_MAX) subject = item.text;
    else if (found === 6n && item.type === "int" && item.int >= 0n) issuedAt = item.int;
    else throw new HeaderError(`claim ${found ?? "of another type"} has no place here`);
  }
  if (issuedAt === undefined) throw new HeaderError("time of issue (claim 6) is missing");
  return { ...(issuer !== undefined && { issuer }), ...(subject !== undefined && { subject }), issuedAt };
}

function readRefs(items: Value[]): Hex[] {
  if (items.length === 0 || items.length > REFS_MAX) throw new HeaderError("refs are empty or too many");
  const refs = items.map((item) => {
    if (item.type !== "bytes" || item.bytes.length !== 32) throw new HeaderError("a ref is not 32 bytes");
    return toHex(item.bytes);
  });
  if (!isAscending(refs)) throw new HeaderError("refs are repeated or out of order");
  return refs;
}

/** Whether each is before the next. */
export function isAscending(ids: Hex[]): boolean {
  return ids.every((id, at) => at === 0 || (ids[at - 1] ?? "") < id);
}
