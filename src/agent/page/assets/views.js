// What is open, every dependency, and what is worth changing.

import { h, heads, name, put, s } from "./dom.js";
import { proof } from "./run.js";
import { state } from "./state.js";
import { swatch } from "./waterfall.js";
import { PHASES, component, count, doing, duration, exact, failed } from "./words.js";

/** Rows that are shown unasked. */
const SHOWN = 200;
const STEP_MS = 10_000;
const STEPS = 60;

const empty = (text, ...more) => h("p", { class: "empty" }, h("b", {}, text), " ", more);
const title = (text, more) => h("div", { class: "view-head" }, h("h2", {}, text), h("p", { class: "muted" }, more));

/** The calls that are open, the oldest first; their ages go on. */
export class OpenView {
  constructor() {
    this.element = h("div", { class: "page open-calls" });
    this.ages = [];
    setInterval(() => this.tick(), 250);
  }

  show(matches) {
    const hops = state.open.filter((hop) => matches(`${hop.run ?? ""} ${component(hop)} ${hop.operation} ${hop.phase}`));
    const shown = hops.slice(0, SHOWN);
    this.ages = [];
    put(
      this.element,
      title("Open right now", hops.length ? `${count(hops.length, "call")}, the oldest first` : ""),
      hops.length === 0
        ? empty(state.open.length ? "No open call matches." : "No call is open.", state.open.length ? "" : "Whatever hangs is shown here while it hangs, with its phase and what is usual.")
        : h(
            "div",
            { class: "scroll", tabindex: 0, role: "region", "aria-label": "Open calls" },
            h(
              "table",
              {},
              h("thead", {}, h("tr", {}, heads(["dependency", "operation", "age", "normally", "phase", "run", "process"], ["age", "normally", "process"]))),
              h("tbody", {}, shown.map((hop) => this.row(hop))),
            ),
          ),
      hops.length > shown.length && h("p", { class: "muted" }, `${count(hops.length - shown.length, "younger call")} not shown.`),
    );
    this.tick();
  }

  row(hop) {
    const age = h("td", { class: "number" });
    const phase = h("span", { class: "muted" });
    this.ages.push({ hop, age, phase });
    const late = hop.usual_ms !== null && hop.age_ms > 5 * hop.usual_ms;
    return h(
      "tr",
      { class: late ? "late" : undefined },
      h("th", { scope: "row" }, late && h("span", { class: "mark", title: "far beyond what is usual" }, "! "), name(component(hop))),
      h("td", {}, name(hop.operation)),
      age,
      h("td", { class: "number" }, hop.usual_ms === null ? "–" : duration(hop.usual_ms)),
      h("td", {}, swatch(hop.phase), `${doing(hop.phase)} `, phase),
      h("td", {}, hop.run === null ? "–" : name(hop.run)),
      h("td", { class: "number" }, hop.pid ?? "–"),
    );
  }

  tick() {
    if (!this.element.isConnected) return;
    const more = state.connection === "live" ? performance.now() - state.openAt : 0;
    for (const { hop, age, phase } of this.ages) {
      age.textContent = duration(hop.age_ms + more);
      phase.textContent = duration(hop.phase_ms + more);
    }
  }
}

/** The last ten minutes of a dependency: a column a step, its height the mean time of a call, its parts the phases. */
export function spark(dependency, now) {
  const last = Math.floor(now / STEP_MS);
  const columns = new Map(dependency.trend.map((step) => [last - Math.round(Date.parse(step.started_at) / STEP_MS), step]));
  const mean = (step) => Object.values(step.phases).reduce((sum, ms) => sum + ms, 0) / step.calls;
  const steps = [...columns].filter(([ago]) => ago >= 0 && ago < STEPS);
  const top = Math.max(0.001, ...steps.map(([, step]) => mean(step)));
  const paths = new Map();
  const marks = [];
  for (const [ago, step] of steps) {
    const x = (STEPS - 1 - ago) * 3;
    let y = 36;
    for (const phase of PHASES) {
      const ms = step.phases[phase];
      if (!ms) continue;
      const height = (ms / step.calls / top) * 30;
      y -= height;
      paths.set(phase, `${paths.get(phase) ?? ""}M${x} ${y.toFixed(2)}h2.4v${height.toFixed(2)}h-2.4z`);
    }
    if (step.failed) marks.push(`M${x - 0.4} 0h3.2l-1.6 4z`);
  }
  const calls = steps.reduce((sum, [, step]) => sum + step.calls, 0);
  const bad = steps.reduce((sum, [, step]) => sum + step.failed, 0);
  const label = calls ? `last ten minutes: ${count(calls, "call")}, ${bad} failed, slowest step ${duration(top)} a call` : "no call in the last ten minutes";
  return h(
    "figure",
    { class: "spark" },
    s(
      "svg",
      { viewBox: "0 0 180 37", preserveAspectRatio: "none", role: "img", "aria-label": label },
      s("title", {}, label),
      s("path", { d: "M0 36.5H180", class: "base" }),
      [...paths].map(([phase, d]) => s("path", { d, "data-phase": phase })),
      marks.length > 0 && s("path", { d: marks.join(""), class: "failed" }),
    ),
    h("figcaption", { class: "muted" }, calls ? [`${duration(top)} at most`, bad ? `, ▼ ${bad} failed` : ""] : "quiet"),
  );
}

/** Every dependency with its calls. Kept from one look to the next: only what changed is made anew. */
export class DependenciesView {
  constructor(choose) {
    this.choose = choose;
    this.element = h("div", { class: "page" });
    this.head = h("div");
    this.list = h("ul", { class: "cards" });
    this.element.append(this.head, this.list);
    this.cards = new Map();
    this.all = false;
  }

  show(matches) {
    const now = Date.parse(state.told ?? new Date().toISOString());
    const found = state.dependencies.filter((dependency) => matches(component(dependency)));
    const weight = (dependency) => Object.values(dependency.phases).reduce((sum, phase) => sum + phase.sum_ms, 0);
    found.sort((a, b) => weight(b) - weight(a));
    const shown = this.all ? found : found.slice(0, SHOWN);
    put(
      this.head,
      title("Dependencies", found.length ? `${found.length === 1 ? "1 dependency" : `${found.length} dependencies`}, by the time spent in them` : ""),
      found.length === 0 && empty(state.dependencies.length ? "No dependency matches." : "No call so far.", state.dependencies.length ? "" : "Every dependency that is called is counted here."),
      found.length > shown.length && h("button", { type: "button", class: "plain", onclick: () => ((this.all = true), this.show(matches)) }, `Show all ${found.length}`),
    );
    const step = Math.floor(now / STEP_MS);
    const cards = new Map();
    for (const dependency of shown) {
      const key = component(dependency);
      const looks = `${step} ${dependency.calls} ${JSON.stringify(dependency.outcomes)}`;
      let card = this.cards.get(key);
      if (card?.looks !== looks) {
        const unfolded = card?.element.querySelector("details")?.open ?? false;
        card = { looks, element: this.card(dependency, now, unfolded) };
      }
      cards.set(key, card);
    }
    this.cards = cards;
    const elements = [...cards.values()].map((card) => card.element);
    if (elements.length !== this.list.children.length || elements.some((element, at) => this.list.children[at] !== element)) put(this.list, elements);
  }

  card(dependency, now, unfolded) {
    const bad = Object.entries(dependency.outcomes).filter(([outcome]) => failed(outcome));
    const lost = bad.reduce((sum, [, calls]) => sum + calls, 0);
    const phases = PHASES.filter((phase) => dependency.phases[phase]);
    const { new: fresh, reused } = dependency.connections;
    return h(
      "li",
      { class: "card dependency" },
      h(
        "div",
        { class: "card-head" },
        h("h3", {}, name(dependency.dependency), h("span", { class: "muted" }, ` ${dependency.kind}`)),
        h("button", { type: "button", class: "plain", onclick: () => this.choose(dependency.dependency) }, "Its runs", h("span", { class: "unseen" }, ` (${component(dependency)})`)),
      ),
      h(
        "p",
        {},
        count(dependency.calls, "call"),
        lost > 0 && " ",
        lost > 0 && h("span", { class: "badge fail" }, `✕ ${lost} failed: ${bad.map(([outcome, calls]) => `${outcome} ${calls}`).join(", ")}`),
        fresh + reused > 0 && h("span", { class: "muted" }, ` · connections: ${fresh.toLocaleString("en")} new, ${reused.toLocaleString("en")} reused`),
      ),
      spark(dependency, now),
      phases.length > 0 &&
        h(
          "details",
          { open: unfolded },
          h("summary", {}, "Phases"),
          h(
            "div",
            { class: "scroll", tabindex: 0, role: "region", "aria-label": `Phases of ${component(dependency)}` },
            h(
              "table",
              {},
              h("thead", {}, h("tr", {}, heads(["phase", "calls", "sum", "p50", "p95", "p99"], ["calls", "sum", "p50", "p95", "p99"]))),
              h(
                "tbody",
                {},
                phases.map((phase) => {
                  const { count: calls, sum_ms, p50_ms, p95_ms, p99_ms } = dependency.phases[phase];
                  return h("tr", {}, h("th", { scope: "row" }, swatch(phase), phase), h("td", { class: "number" }, calls.toLocaleString("en")), [sum_ms, p50_ms, p95_ms, p99_ms].map((ms) => h("td", { class: "number", title: exact(ms) }, duration(ms))));
                }),
              ),
            ),
          ),
        ),
    );
  }
}

/** What is worth changing, although nothing may have failed. */
export class FindingsView {
  constructor() {
    this.element = h("div", { class: "page" });
    this.looks = null;
  }

  show(matches) {
    const found = state.findings.filter((finding) => matches(`${component(finding)} ${finding.cause} ${finding.sentence}`));
    const looks = JSON.stringify([found, state.notes, state.findings.length === 0]);
    if (looks === this.looks) return;
    this.looks = looks;
    put(
      this.element,
      title("Findings", found.length ? "worth changing, although nothing may have failed yet" : ""),
      found.length === 0 && empty(state.findings.length ? "No finding matches." : "Nothing found.", state.findings.length ? "" : "Causes seen across runs are told here with their evidence and what to change."),
      h(
        "ul",
        { class: "cards" },
        found.map((finding) =>
          h(
            "li",
            { class: "card finding" },
            h("div", { class: "card-head" }, h("h3", {}, name(component(finding))), h("span", { class: "badge warn" }, `! ${finding.cause.replaceAll("_", " ")}`)),
            h("p", { class: "sentence" }, h("bdi", {}, finding.sentence)),
            h("p", { class: "remedy" }, h("b", {}, "Try: "), h("bdi", {}, finding.remedy)),
            h("p", { class: "muted" }, `${finding.runs ? `seen in ${count(finding.runs, "run")} · ` : ""}confidence: ${finding.confidence}`),
            proof(finding.evidence),
          ),
        ),
      ),
      state.notes.length > 0 && h("section", { class: "card", "aria-label": "Notes" }, h("h3", {}, "Notes"), h("ul", {}, state.notes.map((note) => h("li", {}, h("bdi", {}, note))))),
    );
  }
}
