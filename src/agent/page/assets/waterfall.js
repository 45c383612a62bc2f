// One run's calls over time: a row a call, a piece a phase, and what the run waited for marked below.

import { h, heads, name, put } from "./dom.js";
import { PHASES, component, doing, duration, ending, exact, failed } from "./words.js";

/** Rows that are shown unasked. */
const ROWS = 300;
/** How far the scale reaches beyond a run that goes on. */
const AHEAD = 1.15;

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** The calls in the order of their start, each below the one that it is a part of. */
export function rows(run) {
  const below = new Map();
  const known = new Set(run.hops.map((hop) => hop.id));
  for (const hop of run.hops) {
    const parent = known.has(hop.parent_id) ? hop.parent_id : null;
    below.set(parent, [...(below.get(parent) ?? []), hop]);
  }
  const out = [];
  const seen = new Set();
  const walk = (parent, depth) => {
    for (const hop of below.get(parent) ?? []) {
      if (seen.has(hop.id)) continue;
      seen.add(hop.id);
      out.push({ hop, depth });
      if (depth < 64) walk(hop.id, depth + 1);
    }
  };
  walk(null, 0);
  // Whoever is told to be a part of itself is shown all the same.
  for (const hop of run.hops) if (!seen.has(hop.id)) out.push({ hop, depth: 0 });
  return out;
}

/** The pieces of a call: each phase of each attempt, and the time between two attempts. */
export function pieces(hop) {
  const out = [];
  const spread = (start, phases, end) => {
    let at = start;
    for (const phase of PHASES) {
      const ms = phases[phase];
      if (!ms) continue;
      out.push({ phase, start: at, ms });
      at += ms;
    }
    return Math.min(at, end);
  };
  const end = hop.started_ms + hop.duration_ms;
  if (hop.attempts.length === 0) {
    spread(hop.started_ms, hop.phases, end);
    return out;
  }
  let last = null;
  for (const attempt of hop.attempts) {
    if (last !== null && attempt.started_ms > last) out.push({ phase: "backoff", start: last, ms: attempt.started_ms - last });
    spread(attempt.started_ms, attempt.phases, end);
    last = attempt.started_ms + attempt.duration_ms;
  }
  if (hop.open && hop.current_phase === "backoff" && end > last) out.push({ phase: "backoff", start: last, ms: end - last });
  return out;
}

/** How much time the whole width is. */
function scale(run) {
  const reach = Math.max(run.duration_ms, ...run.hops.map((hop) => hop.started_ms + hop.duration_ms), 0.001);
  const whole = run.open ? reach * AHEAD : reach;
  return run.open ? round(whole) : whole;
}

/** The next one of 1, 2, 5, 10, … */
function round(ms) {
  const power = 10 ** Math.floor(Math.log10(ms));
  return [1, 1.5, 2, 3, 5, 7.5, 10].map((step) => step * power).find((step) => step >= ms) ?? 10 * power;
}

function ticks(whole) {
  const rough = whole / 7;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((step) => step * power).find((step) => step >= rough);
  const out = [];
  for (let at = 0; at < whole * 0.97; at += step) out.push(at);
  return out;
}

const place = (start, ms, whole) => ({ left: `${(start / whole) * 100}%`, width: `${(ms / whole) * 100}%` });

/** What the phases of a call were, in words. */
function told(hop) {
  const parts = PHASES.filter((phase) => hop.phases[phase]).map((phase) => `${phase} ${duration(hop.phases[phase])}`);
  return parts.length ? parts.join(", ") : "no phase is known";
}

export const outcomeOf = (hop) => (hop.open ? `open, ${doing(hop.current_phase ?? "wait")}` : (hop.outcome ?? "–") + (hop.status ? ` ${hop.status}` : ""));

function details(hop) {
  const rows = [
    ["operation", hop.operation],
    ["began", `${exact(hop.started_ms)} after the run`],
    ["took", exact(hop.duration_ms) + (hop.open ? " so far" : "")],
    ["outcome", outcomeOf(hop)],
    ["failed by", hop.failed_by],
    ["error", hop.error_type],
    ["model", hop.model],
    ["tokens", hop.tokens.input !== null || hop.tokens.output !== null ? `${hop.tokens.input ?? "–"} in, ${hop.tokens.output ?? "–"} out` : null],
    ["longest gap in its stream", hop.gap_ms === null ? null : exact(hop.gap_ms)],
    ["bytes", `${hop.bytes.sent.toLocaleString("en")} sent, ${hop.bytes.received.toLocaleString("en")} received`],
    ["address", hop.address],
    ["connection", hop.client.connection],
    ["process", hop.client.pid],
    ["client's read timeout", hop.client.read_timeout_ms === null ? null : duration(hop.client.read_timeout_ms)],
    ["the client gave up after", hop.gave_up_after_ms === null ? null : duration(hop.gave_up_after_ms)],
    ["seen by", hop.origin + (hop.inferred ? " (times are estimates)" : "")],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  const phases = PHASES.filter((phase) => hop.phases[phase] !== null && hop.phases[phase] !== undefined);
  return h(
    "div",
    { class: "hop-details" },
    h("dl", {}, rows.map(([term, value]) => [h("dt", {}, term), h("dd", {}, h("bdi", {}, String(value)))])),
    h("dl", { class: "phases" }, phases.map((phase) => [h("dt", {}, swatch(phase), phase), h("dd", {}, exact(hop.phases[phase]))])),
    hop.attempts.length > 1 &&
      h(
        "ol",
        { class: "attempts" },
        hop.attempts.map((attempt) =>
          h("li", {}, `${attempt.outcome ?? "open"}${attempt.status ? ` ${attempt.status}` : ""} after ${duration(attempt.duration_ms)}`, attempt.retry_after_ms === null ? null : `, asked to wait ${duration(attempt.retry_after_ms)}`),
        ),
      ),
  );
}

export const swatch = (phase) => h("i", { class: "swatch", data: { phase }, "aria-hidden": "true" });

/** The waterfall of a run; kept from one look to the next, so that what is open moves and what was unfolded stays so. */
export class Waterfall {
  constructor() {
    this.unfolded = new Set();
    this.all = false;
    this.asTable = false;
    this.element = h("section", { class: "card waterfall", "aria-labelledby": "waterfall-title" });
    this.moving = [];
    this.frame = 0;
  }

  /** Shows a run as of this moment. */
  show(run) {
    this.run = run;
    this.at = performance.now();
    this.whole = scale(run);
    this.draw();
  }

  draw() {
    const { run } = this;
    const toggle = h("button", { type: "button", class: "plain", "aria-pressed": String(this.asTable), onclick: () => this.toggle() }, "As a table");
    const focused = this.element.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
    toggle.dataset.focus = "toggle";
    const lines = rows(run);
    put(
      this.element,
      h("div", { class: "card-head" }, h("h3", { id: "waterfall-title" }, "Calls over time"), h("p", { class: "muted" }, count(run)), toggle),
      lines.length === 0 && h("p", { class: "empty" }, run.open ? "No call so far." : "No call was seen in this run."),
      this.asTable ? this.table(lines) : this.chart(lines),
    );
    if (focused) this.element.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
    this.move();
  }

  toggle() {
    this.asTable = !this.asTable;
    this.draw();
  }

  chart(lines) {
    const { run, whole } = this;
    const shown = this.all ? lines : lines.slice(0, ROWS);
    const critical = new Map();
    for (const piece of run.critical_path) critical.set(piece.hop_id, [...(critical.get(piece.hop_id) ?? []), piece]);
    this.moving = [];
    const axis = h("div", { class: "axis", "aria-hidden": "true" }, ticks(whole).map((at) => h("span", { style: { left: `${(at / whole) * 100}%` } }, duration(at))));
    const deadline = run.deadline_ms !== null && run.deadline_ms <= whole ? h("i", { class: "deadline", title: `deadline: ${duration(run.deadline_ms)}`, style: { left: `${(run.deadline_ms / whole) * 100}%` } }) : null;
    const own = critical.get(null) ?? [];
    const list = h(
      "ul",
      { class: "rows", data: { whole } },
      h(
        "li",
        { class: "row own" },
        h("span", { class: "label muted" }, "(own time)"),
        this.track(own.map((piece) => ({ phase: piece.phase, start: piece.started_ms, ms: piece.duration_ms })), own, deadline, null),
        h("span", { class: "took" }, duration(own.reduce((sum, piece) => sum + piece.duration_ms, 0))),
        h("span", { class: "unseen" }, own.map((piece) => `, ${piece.kind === "startup" ? "start-up" : piece.phase} ${duration(piece.duration_ms)} from ${duration(piece.started_ms)}`).join("") || ", none"),
      ),
      shown.map(({ hop, depth }) => this.row(hop, depth, critical.get(hop.id) ?? [], deadline?.cloneNode())),
    );
    const phases = new Set(run.hops.flatMap((hop) => pieces(hop).map((piece) => piece.phase)).concat(own.map((piece) => piece.phase)));
    return [
      h("div", { class: "chart" }, axis, list),
      lines.length > shown.length &&
        h("button", { type: "button", class: "plain", onclick: () => ((this.all = true), this.draw()) }, `Show all ${lines.length.toLocaleString("en")} calls`),
      h(
        "ul",
        { class: "legend", "aria-label": "Colours" },
        PHASES.filter((phase) => phases.has(phase)).map((phase) => h("li", {}, swatch(phase), phase)),
        h("li", {}, h("i", { class: "swatch path", "aria-hidden": "true" }), "critical path: what the run waited for"),
        run.deadline_ms !== null && h("li", {}, h("i", { class: "swatch cut", "aria-hidden": "true" }), `deadline ${duration(run.deadline_ms)}`),
      ),
    ];
  }

  row(hop, depth, path, deadline) {
    const open = this.unfolded.has(hop.id);
    const bad = failed(hop.outcome);
    const fold = () => {
      if (!this.unfolded.delete(hop.id)) this.unfolded.add(hop.id);
      this.draw();
    };
    const words = `${hop.operation}: from ${duration(hop.started_ms)} for ${duration(hop.duration_ms)}, ${outcomeOf(hop)}; ${told(hop)}${path.length ? "; on the critical path" : ""}`;
    const took = h("span", { class: "took" }, bad ? "✕ " : hop.open ? "▸ " : "", duration(hop.duration_ms));
    const line = h(
      "li",
      { class: `row${bad ? " bad" : ""}${hop.open ? " open" : ""}${path.length ? " critical" : ""}`, data: { hop: hop.id } },
      h(
        "button",
        { type: "button", class: "label", "aria-expanded": String(open), title: words, data: { focus: `hop-${hop.id}` }, style: { "padding-inline-start": `${Math.min(depth, 8) * 12 + 4}px` }, onclick: fold },
        name(hop.dependency),
        h("span", { class: "muted" }, ` ${hop.kind}`),
        h("span", { class: "unseen" }, `, ${words}`),
      ),
      this.track(pieces(hop), path, deadline, hop.open ? { hop, took } : null),
      took,
      open && details(hop),
    );
    return line;
  }

  track(parts, path, deadline, moving) {
    const bars = parts.map((part) => h("i", { class: "piece", data: { phase: part.phase, ms: part.ms, start: part.start }, title: `${part.phase}: ${exact(part.ms)}`, style: place(part.start, part.ms, this.whole) }));
    const marks = path.map((piece) => h("i", { class: "path", data: { ms: piece.duration_ms, start: piece.started_ms }, style: place(piece.started_ms, piece.duration_ms, this.whole) }));
    if (moving) this.moving.push({ ...moving, part: parts.at(-1), bar: bars.at(-1) });
    return h("div", { class: "track", "aria-hidden": "true" }, bars, marks, deadline);
  }

  /** What is open grows between two words of it. */
  move() {
    cancelAnimationFrame(this.frame);
    if (this.moving.length === 0 || still.matches || this.asTable) return;
    const step = () => {
      if (!this.element.isConnected) return;
      const more = performance.now() - this.at;
      for (const { hop, part, bar, took } of this.moving) {
        if (bar) bar.style.width = `${Math.min(100, ((part.ms + more) / this.whole) * 100)}%`;
        took.textContent = `▸ ${duration(hop.duration_ms + more)}`;
      }
      this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  table(lines) {
    this.moving = [];
    const phases = PHASES.filter((phase) => lines.some(({ hop }) => hop.phases[phase]));
    const path = new Set(this.run.critical_path.map((piece) => piece.hop_id));
    return h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Calls as a table" },
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, heads(["dependency", "operation", "began", "took", "outcome", "critical", ...phases], ["began", "took", ...phases]))),
        h(
          "tbody",
          {},
          lines.map(({ hop }) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, h("bdi", {}, component(hop))),
              h("td", {}, h("bdi", {}, hop.operation)),
              h("td", { class: "number" }, exact(hop.started_ms)),
              h("td", { class: "number" }, exact(hop.duration_ms)),
              h("td", {}, outcomeOf(hop)),
              h("td", {}, path.has(hop.id) ? "yes" : "no"),
              phases.map((phase) => h("td", { class: "number" }, exact(hop.phases[phase]))),
            ),
          ),
        ),
      ),
    );
  }
}

function count(run) {
  const open = run.hops.filter((hop) => hop.open).length;
  const bad = run.hops.filter((hop) => failed(hop.outcome)).length;
  return [`${run.hops.length.toLocaleString("en")} call${run.hops.length === 1 ? "" : "s"}`, bad && `${bad} failed`, open && `${open} open`].filter(Boolean).join(", ") + ` in ${duration(run.duration_ms)}, ${ending(run).text}`;
}
