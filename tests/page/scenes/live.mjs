// A fault appears while one looks; its run is found, opened, linked to and left again, by keys alone.

import assert from "node:assert/strict";

/** Half a pixel on a track of some hundred: what layout may round. */
const HALF_A_PIXEL = 0.51;

export default async function play(stage) {
  const page = await stage.open();
  await page.locator("#connection[data-state=live]").waitFor();
  assert.match(await page.locator(".side .empty").innerText(), /No run and no failed call so far[\s\S]*hopwatch run --agent/);
  await stage.picture(page, "empty");

  // What hangs is seen while it hangs, in its phase, and it gets older.
  await stage.step("a call hangs");
  await page.keyboard.press("2");
  const hanging = page.locator(".open-calls tbody tr");
  await hanging.first().waitFor();
  assert.match(await hanging.innerText(), /retrieval\/docs[\s\S]*GET \/search[\s\S]*waiting for its response/);
  const age = async () => parseFloat(await hanging.locator("td.number").first().innerText());
  const first = await age();
  await stage.until("it gets older", async () => (await age()) > first + 0.5);
  await stage.picture(page, "open");

  // Its client loses patience: a timeout, live, with its culprit, and said aloud.
  await page.keyboard.press("1");
  await stage.step("its client leaves");
  const row = page.locator(".list-row").first();
  await row.waitFor();
  assert.match(await row.innerText(), /timed out[\s\S]*retrieval\/docs\s+wait/);
  await stage.until("it is announced", async () => /New timeout: .*culprit retrieval\/docs, wait/.test(await page.locator("#announce").textContent()));

  // More of them, of other dependencies.
  await stage.step("more faults");
  await stage.until("all are there", async () => (await page.locator(".list-row").count()) >= 3);

  // By keys to the oldest one, and in.
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  await page.locator(".waterfall .row:not(.own)").first().waitFor();
  const hash = await page.evaluate(() => location.hash);
  const id = /^#\/run\/([0-9a-f]{16})$/.exec(hash)?.[1];
  assert(id, hash);
  assert.equal(await page.locator(".list-row[aria-selected=true]").count(), 1);
  const { runs } = await stage.json(`/api/report?run=${id}`);
  await equals(page, runs[0]);
  await stage.picture(page, "run");

  // A row tells more on demand.
  const label = page.locator(".waterfall button.label").first();
  await label.focus();
  await page.keyboard.press("Enter");
  const details = await page.locator(".hop-details").innerText();
  for (const told of [runs[0].hops[0].operation, "failed by", "caller", "wait"]) assert(details.includes(told), `${told}: ${details}`);
  assert.equal(await page.locator(".waterfall button.label").first().getAttribute("aria-expanded"), "true");

  // The same as a table, number by number.
  await page.getByRole("button", { name: "As a table" }).click();
  const cells = await page.locator(".waterfall tbody tr").first().locator("td.number").allInnerTexts();
  const exact = (ms) => `${ms.toLocaleString("en", { maximumFractionDigits: 3 })} ms`;
  assert.deepEqual(cells.slice(0, 2), [exact(runs[0].hops[0].started_ms), exact(runs[0].hops[0].duration_ms)]);
  assert(cells.includes(exact(runs[0].hops[0].phases.wait)), cells.join());
  await page.getByRole("button", { name: "As a table" }).click();

  // The address leads back to it, here and elsewhere.
  const other = await stage.open(hash);
  await other.locator(".waterfall .row:not(.own)").first().waitFor();
  assert.equal(await other.locator(".run-head h2").innerText(), runs[0].name);
  await other.context().close();
  const gone = await stage.open("#/run/ffffffffffffffff", { serviceWorkers: "block" });
  stage.expected.push(/404 \(Not Found\)/);
  await gone.getByText("This run is not kept any more.").waitFor();
  await gone.context().close();

  // Filters, kept in the address; back by Escape.
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => location.hash), "#/runs");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "search");
  await page.keyboard.type("tool/lookup");
  await stage.until("only the tool's", async () => {
    const texts = await page.locator(".list-row").allInnerTexts();
    return texts.length > 0 && texts.every((text) => text.includes("tool/lookup"));
  });
  assert.match(await page.evaluate(() => location.hash), /^#\/runs\?q=tool%2Flookup$/);
  await page.keyboard.type("nothing-of-this-name");
  await page.getByText("No run matches.").waitFor();
  await page.keyboard.press("Escape");
  await stage.until("all again", async () => (await page.locator(".list-row").count()) >= 3);
  await page.selectOption("select[data-filter=dependency]", "docs");
  await page.selectOption("select[data-filter=outcome]", "timeout");
  await stage.until("timeouts of docs", async () => {
    const texts = await page.locator(".list-row").allInnerTexts();
    return texts.length > 0 && texts.every((text) => text.includes("timed out") && text.includes("retrieval/docs"));
  });
  const filtered = await page.evaluate(() => location.hash);
  assert.equal(filtered, "#/runs?outcome=timeout&dependency=docs");
  const count = await page.locator(".list-row").count();
  const linked = await stage.open(filtered);
  await stage.until("the filters of a link", async () => (await linked.locator(".list-row").count()) === count);
  assert.equal(await linked.locator("select[data-filter=outcome]").inputValue(), "timeout");
  await linked.context().close();
  await page.getByRole("button", { name: "Clear" }).click();

  // Help, views by number, dependencies with their last minutes.
  await page.locator("body").press("?");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await page.keyboard.press("3");
  const card = page.locator(".dependency").first();
  await card.waitFor();
  const label3 = await card.getByRole("img").getAttribute("aria-label");
  assert.match(label3, /last ten minutes: \d+ calls?, \d+ failed/);
  assert((await card.locator("svg path[data-phase=wait]").count()) === 1);
  await stage.picture(page, "dependencies");

  // Nothing secret of what went through, neither in the page nor in what it was told.
  const seen = (await page.content()) + (await (await fetch(`${stage.origin}/api/report`)).text());
  for (const secret of ["query-s3cret", "bearer-s3cret", "prompt-s3cret", "completion-s3cret"]) assert(!seen.includes(secret), secret);

  // The agent goes, and comes back: said, and mended without a hand.
  await page.keyboard.press("1");
  stage.expected.push(/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|Failed to load resource/);
  await stage.step("the agent goes");
  await page.locator("#connection[data-state=lost]").waitFor();
  assert.match(await page.locator("#connection").innerText(), /Disconnected, as of .*; trying again/);
  assert((await page.locator(".list-row").count()) >= 3, "what was known stays in sight");
  await stage.picture(page, "disconnected");
  await stage.step("the agent comes back");
  await page.locator("#connection[data-state=live]").waitFor();
}

/** Every piece of the waterfall is as long, and begins where, the report says. */
export async function equals(page, run) {
  const told = await page.evaluate(() => {
    const whole = Number(document.querySelector(".waterfall .rows").dataset.whole);
    const rows = [...document.querySelectorAll(".waterfall .row")].map((row) => {
      const track = row.querySelector(".track").getBoundingClientRect();
      const at = (element) => {
        const box = element.getBoundingClientRect();
        return { phase: element.dataset.phase ?? null, start: ((box.left - track.left) / track.width) * whole, ms: (box.width / track.width) * whole };
      };
      return { hop: row.dataset.hop ?? null, pixel: whole / track.width, pieces: [...row.querySelectorAll(".piece")].map(at), path: [...row.querySelectorAll("i.path")].map(at) };
    });
    return { whole, rows };
  });
  assert(told.whole >= run.duration_ms, `${told.whole} of ${run.duration_ms}`);
  assert.equal(told.rows.length, run.hops.length + 1);
  const near = (is, is_told, pixel, what) => assert(Math.abs(is - is_told) <= pixel * HALF_A_PIXEL, `${what}: ${is} on the page, ${is_told} in the report`);
  for (const { hop: id, pixel, pieces, path } of told.rows) {
    const hop = run.hops.find((hop) => hop.id === id);
    if (hop) {
      for (const phase of Object.keys(hop.phases)) {
        if (phase === "backoff" || !hop.phases[phase]) continue;
        const shown = pieces.filter((piece) => piece.phase === phase).reduce((sum, piece) => sum + piece.ms, 0);
        near(shown, hop.phases[phase], pixel * Math.max(1, hop.attempts.length), `${id} ${phase}`);
      }
      if (pieces.length) near(Math.min(...pieces.map((piece) => piece.start)), hop.started_ms, pixel, `${id} start`);
    }
    const critical = run.critical_path.filter((piece) => piece.hop_id === id);
    assert.equal(path.length, critical.length, `${id}: pieces of the critical path`);
    for (const [place, piece] of critical.entries()) {
      near(path[place].start, piece.started_ms, pixel, `${id} path`);
      near(path[place].ms, piece.duration_ms, pixel, `${id} path`);
    }
  }
}
