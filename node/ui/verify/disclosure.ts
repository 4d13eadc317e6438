/** Sealed claims, opened: an observation commits to the digest of each, and its author discloses them one by one. */

import { type Bytes, type Hex, utf8 } from "./bytes.js";
import { parse } from "./cbor.js";
import { idOf } from "./digest.js";
import { LABEL_BYTES_MAX, PAYLOAD_BYTES_MAX } from "./limits.js";
import { isAscending } from "./statement.js";

const SALT_BYTES = 16;

/** Checks that these are disclosures `[salt, name, value]` of what is sealed, in the order of their digests. */
export function checkDisclosures(sealed: Hex[], disclosures: Bytes[]): void {
  for (const disclosure of disclosures) {
    const value = parse(disclosure, PAYLOAD_BYTES_MAX);
    const [salt, name, , ...more] = value.type === "array" && value.items.length >= 3 ? value.items : [];
    const isOne =
      salt?.type === "bytes" &&
      salt.bytes.length === SALT_BYTES &&
      name?.type === "text" &&
      utf8(name.text).length <= LABEL_BYTES_MAX &&
      more.length === 0;
    if (!isOne) throw new Error("a disclosure is a salt of 16 bytes, a name and a value");
    if (!sealed.includes(idOf(disclosure))) {
      throw new Error(`the statement did not seal ${JSON.stringify(name.text)} with this salt and value`);
    }
  }
  if (!isAscending(disclosures.map(idOf))) throw new Error("disclosures are repeated or out of order");
}
