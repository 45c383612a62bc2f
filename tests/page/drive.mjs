// Plays a scene in a real browser: `node drive.mjs SCENE ORIGIN FOLDER`, with PAGE_NODE where the packages are and PAGE_BROWSER the browser.
// Whoever started it reads `> STEP` where the scene waits for something to happen, and answers with a line.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import readline from "node:readline";

const [name, origin, folder] = process.argv.slice(2);
const require = createRequire(path.join(process.env.PAGE_NODE, "package.json"));
const { chromium } = require("playwright-core");
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");

/** Far above what anything here takes. */
const PATIENCE_MS = 60_000;
const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const browser = await chromium.launch({
  executablePath: process.env.PAGE_BROWSER,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
});

/** What went wrong unasked: errors on the console, requests to others, dialogs. */
const wrong = [];
/** Messages that a scene brings about itself. */
const expected = [];

const stage = {
  origin,
  DESK,
  PHONE,
  expected,

  /** A page at this address, watched. */
  async open(hash = "", options = {}) {
    const context = await browser.newContext({ viewport: DESK, locale: "en-GB", ...options });
    context.setDefaultTimeout(PATIENCE_MS);
    await context.addInitScript({ content: axe });
    const page = await context.newPage();
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type()) && !expected.some((known) => known.test(message.text()))) wrong.push(`console: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => wrong.push(`thrown: ${error.stack}`));
    page.on("dialog", (dialog) => {
      wrong.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== origin && !expected.some((known) => known.test(request.url()))) wrong.push(`asked others: ${request.url()}`);
    });
    await page.goto(`${origin}/${hash}`);
    return page;
  },

  /** Lets whoever started this do something, and waits until it is done. What it answered. */
  async step(word) {
    process.stdout.write(`> ${word}\n`);
    const { value, done } = await lines.next();
    assert(!done, "nobody is there any more");
    return value;
  },

  /** Waits until something is so. */
  async until(what, ask) {
    const start = performance.now();
    let last;
    for (;;) {
      try {
        const answer = await ask();
        if (answer) return answer;
        last = answer;
      } catch (error) {
        last = error.message;
      }
      if (performance.now() - start > PATIENCE_MS) throw new Error(`in vain: ${what}: ${last}`);
      await new Promise((later) => setTimeout(later, 50));
    }
  },

  /** What axe has to say on a page as it is. */
  async axe(page, where) {
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join("\n  ")}`);
    assert.deepEqual(told, [], `axe, ${where}`);
  },

  async picture(page, word) {
    await mkdir(folder, { recursive: true });
    await page.screenshot({ path: path.join(folder, `${name}-${word}.png`) });
  },

  async json(where) {
    const answer = await fetch(`${origin}${where}`);
    assert.equal(answer.status, 200, where);
    return answer.json();
  },
};

let failure;
try {
  const { default: play } = await import(`./scenes/${name}.mjs`);
  await play(stage);
  assert.deepEqual(wrong, []);
} catch (error) {
  failure = error;
  for (const [place, page] of browser.contexts().flatMap((context) => context.pages()).entries()) await stage.picture(page, `failed-${place}`).catch(() => {});
}
await browser.close();
if (failure) {
  process.stderr.write(`${failure.stack}\n${wrong.join("\n")}\n`);
  process.exit(1);
}
process.exit(0);
