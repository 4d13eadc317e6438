/**
 * Opens the page in Chromium with the network off, gives it bundles, and reads its answers: `browser.js BUNDLE...`, the last
 * of which is dropped onto the page, the others chosen. Prints one JSON object a line, `{state, status, checks, meanings}`,
 * then `{requests}`: whatever the page asked of anybody.
 */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

import { type Page, chromium } from "playwright-core";

const PAGE = new URL("../verify.html", import.meta.url);
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

async function drop(page: Page, path: string): Promise<void> {
  const bytes = [...(await readFile(path))];
  await page.evaluate(
    ([name, content]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(content)], name));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    },
    [basename(path), bytes] as const,
  );
}

/** What the page says once it is no longer busy. */
async function answer(page: Page): Promise<unknown> {
  await page.waitForSelector('#status:not([data-state="busy"]):not([data-state="idle"])', { timeout: 120_000 });
  return page.evaluate(() => {
    const texts = (within: Element | Document, what: string): string[] =>
      [...within.querySelectorAll(what)].map((one) => one.textContent ?? "");
    const checks = [...document.querySelectorAll("#checks tr")].map((row) => {
      const [, check, input, detail] = texts(row, "td");
      return { outcome: row.querySelector("td")?.dataset["outcome"], check, input, detail };
    });
    const status = document.getElementById("status");
    return { state: status?.dataset["state"], status: status?.textContent, checks, meanings: texts(document, "#meanings dt") };
  });
}

async function main(paths: string[]): Promise<void> {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args: FLAGS });
  try {
    const context = await browser.newContext({ offline: true });
    const page = await context.newPage();
    const requests: string[] = [];
    const problems: string[] = [];
    page.on("request", (request) => requests.push(request.url()));
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (said) => problems.push(said.text()));
    for (const [at, path] of paths.entries()) {
      await page.goto(PAGE.href);
      if (at === paths.length - 1) await drop(page, path);
      else await page.setInputFiles("#bundle", path);
      console.log(JSON.stringify(await answer(page)));
    }
    const others = requests.filter((url) => url !== PAGE.href);
    console.log(JSON.stringify({ requests: others, problems, page: fileURLToPath(PAGE) }));
  } finally {
    await browser.close();
  }
}

await main(process.argv.slice(2));
