// One run: how it ended, who is to blame and what to do, and its calls over time.

import { h, heads, name, put } from "./dom.js";
import { Waterfall, swatch } from "./waterfall.js";
import { clock, component, doing, duration, ending, evidence, exact, percent } from "./words.js";

/** The sign and words of how a run ended. */
export function badge(run) {
  const { sign, text, tone } = ending(run);
  return h("span", { class: `badge ${tone}` }, h("span", { "aria-hidden": "true" }, sign), ` ${text}`);
}

/** Who is to blame, in a few words. */
export function culprit(run) {
  const { verdict } = run;
  if (verdict) return [name(component(verdict)), ` ${verdict.phase} `, h("b", {}, duration(verdict.ms)), verdict.cause && [" · ", verdict.cause.replaceAll("_", " ")]];
  if (run.open) return "no culprit so far";
  return run.healthy ? "nothing stood out" : "no dependency: the program failed by itself";
}

/** What is behind a statement. */
export function proof(list) {
  return h("dl", { class: "evidence" }, list.map((one) => evidence(one)).map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, h("bdi", {}, String(value))))));
}

function verdict(run) {
  const { verdict } = run;
  if (!verdict) return h("section", { class: "card verdict", "aria-label": "Verdict" }, h("p", {}, culprit(run)));
  const { raised_at: raised } = verdict;
  return h(
    "section",
    { class: `card verdict ${ending(run).tone}`, "aria-label": "Verdict" },
    h("p", { class: "sentence" }, h("bdi", {}, verdict.sentence)),
    h("p", { class: "muted" }, [verdict.cause ? `cause: ${verdict.cause}` : `no cause is sure; ${doing(verdict.phase)}`, `confidence: ${verdict.confidence}`].join(" · ")),
    raised && h("p", {}, "The error was raised at ", h("bdi", {}, component(raised)), ` (${raised.outcome})`, raised.error_type && [": ", h("bdi", {}, raised.error_type)], ", which is not where the time went."),
    verdict.remedy && h("p", { class: "remedy" }, h("b", {}, "Try: "), h("bdi", {}, verdict.remedy)),
    verdict.evidence.length > 0 && proof(verdict.evidence),
  );
}

function blame(run) {
  const same = (row) => run.verdict && row.kind === run.verdict.kind && row.dependency === run.verdict.dependency && row.phase === run.verdict.phase;
  return h(
    "section",
    { class: "card", "aria-labelledby": "blame-title" },
    h("div", { class: "card-head" }, h("h3", { id: "blame-title" }, "Where the time went"), h("p", { class: "muted" }, "shares of the critical path; they sum to the run")),
    h(
      "table",
      { class: "blame" },
      h("thead", {}, h("tr", {}, heads(["dependency", "phase"], []), heads(["time", "share"], ["time", "share"]), h("td", { class: "bar-cell" }), heads(["normally"], ["normally"]))),
      h(
        "tbody",
        {},
        run.blame.map((row) =>
          h(
            "tr",
            { class: same(row) ? "culprit" : undefined },
            h("th", { scope: "row" }, same(row) && h("span", { class: "mark" }, "▶ ", h("span", { class: "unseen" }, "culprit: ")), name(component(row)), row.calls > 1 && h("span", { class: "muted" }, ` ×${row.calls}`)),
            h("td", {}, swatch(row.phase), row.phase, row.detail && h("span", { class: "muted" }, " ", h("bdi", {}, row.detail)), row.inferred && h("span", { class: "muted" }, " (estimate)")),
            h("td", { class: "number", title: exact(row.ms) }, duration(row.ms)),
            h("td", { class: "number" }, percent(row.share)),
            h("td", { class: "bar-cell", "aria-hidden": "true" }, h("i", { class: "bar", data: { phase: row.phase }, style: { width: `${Math.min(1, row.share) * 100}%` } })),
            h("td", { class: "number" }, row.usual_ms === null ? "–" : duration(row.usual_ms)),
          ),
        ),
      ),
    ),
  );
}

/** What is shown of the run that was chosen. */
export class RunView {
  constructor() {
    this.id = null;
    this.element = h("article", { class: "run", "aria-label": "Run", tabindex: -1 });
    this.waterfall = new Waterfall();
    this.asked = 0;
  }

  /** Asks for a run and shows it; `back` is where its list is. */
  async show(id, back) {
    if (id !== this.id) {
      this.id = id;
      this.waterfall = new Waterfall();
      put(this.element, back, h("p", { class: "empty" }, "Loading the run…"));
      this.element.scrollTop = 0;
    }
    this.back = back;
    const mine = (this.asked += 1);
    let answer;
    try {
      answer = await fetch(`/api/report?run=${encodeURIComponent(id)}`, { signal: AbortSignal.timeout(10_000) });
      if (mine !== this.asked) return;
      if (answer.status === 404) return this.say("This run is not kept any more.", "The agent keeps as many runs as agent.keep_runs says, for as long as agent.keep_for says.");
      if (!answer.ok) return this.say(`The run cannot be shown: ${answer.status}.`, await answer.text());
      const report = await answer.json();
      if (mine === this.asked) this.draw(report.runs[0]);
    } catch {
      // What was shown before stays; that the connection is lost is said above.
      if (mine === this.asked && !this.element.querySelector(".waterfall")) this.say("The run cannot be loaded right now.", "It is tried again as soon as there is an answer.");
    }
  }

  say(text, more) {
    put(this.element, this.back, h("p", { class: "empty" }, h("b", {}, text), " ", more));
  }

  draw(run) {
    this.waterfall.show(run);
    const facts = [
      ["began", clock(run.started_at)],
      ["took", duration(run.duration_ms) + (run.deadline_ms === null ? "" : ` of ${duration(run.deadline_ms)}`)],
      ["exit code", run.exit_code],
      ["trace", run.trace_id],
      ["id", run.id],
    ].filter(([, value]) => value !== null);
    const scroll = this.element.scrollTop;
    const keep = this.waterfall.element.contains(document.activeElement) ? document.activeElement : null;
    put(
      this.element,
      this.back,
      h("header", { class: "run-head" }, h("h2", {}, name(run.name || "(no name)")), badge(run)),
      h("dl", { class: "facts" }, facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, h("bdi", {}, String(value)))))),
      verdict(run),
      this.waterfall.element,
      blame(run),
    );
    this.element.scrollTop = scroll;
    keep?.focus();
  }
}
