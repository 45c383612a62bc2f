// Names that want to be markup, to turn the text around, or to have no end; and scripts that somebody got in.

import assert from "node:assert/strict";

const VIEWS = ["#/runs", "#/open", "#/dependencies", "#/findings"];

export default async function play(stage) {
  const { runs } = await stage.json("/api/report?hops=0");
  assert(runs.length >= 5, "the runs with hostile names");
  for (const viewport of [stage.DESK, stage.PHONE]) {
    for (const hash of [...VIEWS, ...runs.map((run) => `#/run/${run.id}`)]) {
      const page = await stage.open(hash, { viewport });
      await page.locator("#connection[data-state=live]").waitFor();
      if (hash.startsWith("#/run/")) {
        const run = runs.find((run) => hash.endsWith(run.id));
        const label = page.locator(".waterfall button.label").first();
        await label.waitFor();
        // To the letter, as text.
        assert.equal(await page.locator(".run-head h2").textContent(), run.name);
        await label.click();
        await page.locator(".hop-details").waitFor();
        const isolated = await page.evaluate(() => [...document.querySelectorAll(".name, bdi")].every((element) => getComputedStyle(element).unicodeBidi === "isolate"));
        assert(isolated, "every name stands alone as to direction");
      }
      assert(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `nothing is wider than the screen: ${hash}`);
      const strange = await page.evaluate(() => ({
        done: globalThis.harmed ?? null,
        scripts: [...document.scripts].map((script) => script.getAttribute("src")),
        images: document.querySelectorAll("img, iframe, object, embed, link[rel=stylesheet]:not([href='/page/style.css'])").length,
        bidi: /[\u202a-\u202e\u2066-\u2069]/.test(document.body.textContent),
      }));
      assert.deepEqual(strange, { done: null, scripts: ["/page/main.js"], images: 0, bidi: false }, hash);
      await page.context().close();
    }
  }

  // Addresses are as hostile as names.
  for (const hash of ["#/run/%", "#/run/<script>harmed=1</script>", "#/run/../..", "#/runs?q=%zz&outcome=<img src=x onerror=harmed=1>", "#/?dependency=__proto__", "#/findings/x?q=" + "(".repeat(2000)]) {
    stage.expected.push(/404 \(Not Found\)/);
    const page = await stage.open(hash);
    await page.locator("#connection[data-state=live]").waitFor();
    assert.equal(await page.evaluate(() => globalThis.harmed ?? null), null, hash);
    await page.context().close();
  }

  // The policy is in force: what was got in by whatever way does not run, and what is here cannot be sent elsewhere.
  const page = await stage.open();
  await page.locator("#connection[data-state=live]").waitFor();
  stage.expected.push(/Content Security Policy/, /elsewhere\.test/, /^data:/, /Refused to/, /violates/);
  const outcome = await page.evaluate(async () => {
    const stopped = [];
    document.addEventListener("securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
    const script = document.createElement("script");
    script.textContent = "globalThis.harmed = 'inline'";
    document.head.append(script);
    const data = document.createElement("script");
    data.src = "data:text/javascript,globalThis.harmed='data'";
    document.head.append(data);
    const button = document.createElement("button");
    button.setAttribute("onclick", "globalThis.harmed = 'handler'");
    document.body.append(button);
    button.click();
    const frame = document.createElement("iframe");
    frame.src = "https://elsewhere.test/";
    document.body.append(frame);
    const image = document.createElement("img");
    image.src = "https://elsewhere.test/x.png";
    document.body.append(image);
    const sent = await fetch("https://elsewhere.test/", { mode: "no-cors" }).then(
      () => true,
      () => false,
    );
    const form = document.createElement("form");
    form.action = "https://elsewhere.test/";
    document.body.append(form);
    form.submit();
    await new Promise((later) => setTimeout(later, 500));
    return { harmed: globalThis.harmed ?? null, sent, stopped: [...new Set(stopped)].sort() };
  });
  assert.equal(outcome.harmed, null);
  assert.equal(outcome.sent, false);
  for (const directive of ["connect-src", "form-action", "frame-src", "img-src", "script-src-attr", "script-src-elem"]) assert(outcome.stopped.includes(directive), `${directive}: ${outcome.stopped}`);
  await page.context().close();
}
