// Puts the page into one file: `assemble.mjs SCRIPT OUT`. A policy with the digests of its script and style lets nothing
// else run, and nothing be fetched.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const [scriptPath, out] = process.argv.slice(2);
const read = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
const hash = (text) => `sha256-${createHash("sha256").update(text).digest("base64")}`;

const style = read("page.css");
const script = readFileSync(scriptPath, "utf8");
if (/<\/script|<!--/i.test(script) || /<\/style/i.test(style)) throw new Error("script or style would end early");
const parts = { script, style, "script-hash": hash(script), "style-hash": hash(style) };
writeFileSync(out, read("page.html").replace(/\{(script|style|script-hash|style-hash)\}/g, (_, name) => parts[name]));
