// Five thousand runs: all are there, few of them exist as elements, and scrolling stays smooth.

import assert from "node:assert/strict";

const RUNS = 5000;
/** A tenth of what a screen shows. */
const FRAMES_PER_SECOND_MIN = 6;
/** No frame may take longer: what people call a hang. */
const LONGEST_TASK_MS = 1500;
const ROWS_MAX = 100;

export default async function play(stage) {
  const page = await stage.open();
  await stage.until("all are there", async () => (await page.locator(".summary").innerText()).startsWith("5,000 runs,"));
  const asked = performance.now();
  const report = await stage.json("/api/report?hops=0");
  const brief_ms = performance.now() - asked;
  assert.equal(report.runs.length, RUNS);
  const told = await page.evaluate(async () => {
    const list = document.querySelector(".list");
    const tasks = [];
    new PerformanceObserver((seen) => tasks.push(...seen.getEntries().map((entry) => entry.duration))).observe({ type: "longtask" });
    const frames = [];
    let blank = 0;
    let most = 0;
    const box = list.getBoundingClientRect();
    const start = performance.now();
    // To the end and back, a few rows a frame at first, then in leaps.
    for (let turn = 0; performance.now() - start < 4000; turn += 1) {
      await new Promise((frame) => requestAnimationFrame(frame));
      frames.push(performance.now());
      // What stands there was drawn for the place of the frame before.
      if (turn > 1 && !document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2)?.closest(".list-row")) blank += 1;
      most = Math.max(most, document.querySelectorAll(".list-row").length);
      list.scrollTop += turn % 40 < 30 ? 150 : 20_000;
      if (list.scrollTop + list.clientHeight >= list.scrollHeight - 1) list.scrollTop = 0;
    }
    return { frames: frames.length, seconds: (performance.now() - start) / 1000, longest: Math.max(0, ...tasks), tasks: tasks.length, most, blank };
  });
  process.stdout.write(`# ${JSON.stringify({ ...told, brief_ms })}\n`);
  assert(told.frames / told.seconds >= FRAMES_PER_SECOND_MIN, JSON.stringify(told));
  assert(told.longest < LONGEST_TASK_MS, JSON.stringify(told));
  assert(told.most <= ROWS_MAX, JSON.stringify(told));
  assert(told.blank <= told.frames / 10, JSON.stringify(told));

  // The last of them is reached by a key, told as the last, and opens.
  await page.locator(".list").focus();
  await page.keyboard.press("End");
  await stage.until("the last one", async () => (await page.locator(`.list-row[aria-posinset="${RUNS}"].active`).count()) === 1);
  await page.keyboard.press("Enter");
  await page.locator(".waterfall .row:not(.own)").first().waitFor();
  assert.equal(await page.locator(".run-head h2").innerText(), report.runs[0].name);

  // Search among all of them.
  await page.keyboard.press("Escape");
  await page.keyboard.press("/");
  await page.keyboard.type("run-4321");
  await stage.until("one is found", async () => (await page.locator(".list-row").count()) === 1);
  await page.keyboard.press("Escape");

  // One more comes, and the oldest goes. Who has scrolled stays with what is in sight.
  const list = page.locator(".list");
  await stage.until("all again", async () => (await page.locator(".summary").innerText()).startsWith("5,000 runs,"));
  await list.evaluate((list) => (list.scrollTop = 64 * 1000));
  await stage.until("there", async () => (await page.locator('.list-row[aria-posinset="1003"]').count()) === 1);
  const inSight = () => page.evaluate(() => document.elementFromPoint(200, 500).closest(".list-row").querySelector(".row-name").textContent);
  const before = await inSight();
  await stage.step("one more");
  await stage.until("it is there", async () => (await page.locator('.list-row[aria-posinset="1004"]').count()) === 1 && (await page.evaluate(() => document.querySelector(".list").scrollTop)) === 64 * 1001);
  assert.equal(await inSight(), before);
  await list.evaluate((list) => (list.scrollTop = 0));
  await stage.until("first of all", async () => /one-more/.test(await page.locator('.list-row[aria-posinset="1"]').innerText()));
  await stage.until("as many as are kept", async () => (await page.locator(".summary").innerText()).startsWith("5,000 runs,"));
  await stage.picture(page, "runs");
}
