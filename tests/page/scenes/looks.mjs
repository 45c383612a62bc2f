// Every view in every dress: light, dark, a phone's width; axe has nothing to say on any.

import assert from "node:assert/strict";
import { equals } from "./live.mjs";

export default async function play(stage) {
  const { runs } = await stage.json("/api/report");
  const late = runs.find((run) => run.outcome === "timeout" && run.verdict !== null);
  const going = runs.find((run) => run.open);
  assert(late && going, "a run that timed out, and one that goes on");
  const views = { runs: "#/runs", run: `#/run/${late.id}`, going: `#/run/${going.id}`, open: "#/open", dependencies: "#/dependencies", findings: "#/findings" };
  for (const colorScheme of ["light", "dark"]) {
    for (const [dress, viewport] of [["desk", stage.DESK], ["phone", stage.PHONE]]) {
      for (const [view, hash] of Object.entries(views)) {
        const page = await stage.open(hash, { colorScheme, viewport, reducedMotion: view === "going" ? "no-preference" : "reduce" });
        const where = `${view}, ${colorScheme}, ${dress}`;
        await page.locator("#connection[data-state=live]").waitFor();
        await page.locator({ runs: ".list-row", run: ".waterfall .row.critical", going: ".waterfall .row.open", open: ".open-calls tbody tr", dependencies: ".dependency", findings: ".finding" }[view]).first().waitFor();
        await stage.axe(page, where);
        assert(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `nothing is wider than the screen: ${where}`);
        await stage.picture(page, `${view}-${colorScheme}-${dress}`);
        if (view === "run") {
          await equals(page, late);
          await page.locator(".waterfall button.label").first().click();
          await page.locator(".hop-details").waitFor();
          await stage.axe(page, `${where}, unfolded`);
          await page.getByRole("button", { name: "As a table" }).click();
          await stage.axe(page, `${where}, as a table`);
        }
        if (view === "dependencies") {
          await page.locator("summary").first().click();
          await stage.axe(page, `${where}, unfolded`);
        }
        if (view === "runs") {
          await page.locator("#help").click();
          await stage.axe(page, `${where}, help`);
          await page.keyboard.press("Escape");
        }
        if (view === "going") await moves(stage, page);
        await page.context().close();
      }
    }
  }

  // The switch wins over the system's wish, and is remembered.
  const page = await stage.open("", { colorScheme: "light" });
  await page.locator("#connection[data-state=live]").waitFor();
  const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await back();
  await page.locator("#theme").click();
  await page.locator("#theme").click();
  const dark = await back();
  assert.notEqual(dark, light);
  await page.reload();
  await page.locator("#connection[data-state=live]").waitFor();
  assert.equal(await back(), dark);
  assert.equal(await page.locator("#theme").innerText(), "Theme: dark");
  await page.context().close();
}

/** What is open grows from frame to frame, not only from word to word. */
async function moves(stage, page) {
  const widths = await page.evaluate(async () => {
    const seen = new Set();
    const start = performance.now();
    while (performance.now() - start < 3000 && seen.size < 8) {
      await new Promise((frame) => requestAnimationFrame(frame));
      seen.add([...document.querySelectorAll(".waterfall .row.open .piece")].at(-1)?.style.width);
    }
    return [...seen];
  });
  assert(widths.length >= 8, widths.join());
}
