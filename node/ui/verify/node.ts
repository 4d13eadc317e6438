/** What browsers have and Node does not everywhere: before version 20, its WebCrypto stands in a module alone. */

import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto as Crypto;
