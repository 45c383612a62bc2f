// The page: what is shown is said by its address (`#/run/ID?outcome=timeout`), what is known comes by events.

import { h, name, put } from "./dom.js";
import { listen } from "./feed.js";
import { List } from "./list.js";
import { RunView, badge, culprit } from "./run.js";
import * as known from "./state.js";
import { DependenciesView, FindingsView, OpenView } from "./views.js";
import { clock, component, duration, ending } from "./words.js";

const { state } = known;
const FILTERS = ["q", "outcome", "dependency", "cause"];
const TABS = [
  ["runs", "Runs"],
  ["open", "Open"],
  ["dependencies", "Dependencies"],
  ["findings", "Findings"],
];

const byId = (id) => document.getElementById(id);
const view = byId("view");

/* ---- the address ---- */

/** What the address says: the view, the run that was chosen, and the filters. */
function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [tab = "", id = ""] = path.split("/");
  const filters = Object.fromEntries(FILTERS.map((key) => [key, new URLSearchParams(query).get(key) ?? ""]));
  let run = null;
  try {
    if (tab === "run" && id) run = decodeURIComponent(id);
  } catch {
    // What cannot be read is no run.
  }
  return { tab: TABS.some(([key]) => key === tab) ? tab : "runs", run, filters };
}

let at = read();

function address({ tab = at.tab, run = null, filters = at.filters }) {
  const query = new URLSearchParams(FILTERS.filter((key) => filters[key]).map((key) => [key, filters[key]])).toString();
  return `#/${run === null ? tab : `run/${encodeURIComponent(run)}`}${query ? `?${query}` : ""}`;
}

/** Goes there; `replaces` = it is no step that one goes back from. */
function go(where, replaces = false) {
  const to = address(where);
  if (to === location.hash) return;
  history[replaces ? "replaceState" : "pushState"](null, "", to);
  follow();
}

function follow() {
  const before = at;
  at = read();
  draw();
  if (at.run !== null && at.run !== before.run) {
    runView.element.focus({ preventScroll: true });
  }
}

/* ---- runs ---- */

const search = h("input", { type: "search", id: "search", placeholder: "Search  ( / )", "aria-label": "Search", autocomplete: "off", spellcheck: "false", oninput: () => filter("q", search.value) });
const choice = (key, label) => h("select", { "aria-label": label, data: { filter: key }, onchange: (event) => filter(key, event.target.value) });
const choices = { outcome: choice("outcome", "Outcome"), dependency: choice("dependency", "Dependency"), cause: choice("cause", "Cause") };
const clear = h("button", { type: "button", class: "plain", onclick: () => unfilter() }, "Clear");
const filters = h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() }, search, Object.values(choices), clear);
const summary = h("p", { class: "summary muted" });
const nothing = h("div", { class: "empty" });

function filter(key, value) {
  go({ run: at.run, filters: { ...at.filters, [key]: value } }, true);
}

function unfilter() {
  search.value = "";
  go({ run: at.run, filters: {} }, true);
}

const list = new List({ label: "Runs, the latest first", height: 64, id: (run) => run.id, render: row, open: (run) => go({ tab: "runs", run: run.id }) });
const runView = new RunView();
const openView = new OpenView();
const dependenciesView = new DependenciesView((dependency) => go({ tab: "runs", filters: { ...at.filters, dependency } }));
const findingsView = new FindingsView();
const side = h("section", { class: "side", "aria-label": "Runs" }, filters, summary, list.element, nothing);

function row(run) {
  const { tone } = ending(run);
  return [
    h("div", { class: `row-line ${tone}` }, badge(run), h("span", { class: "row-name" }, name(run.name || "(no name)")), h("span", { class: "took" }, duration(run.duration_ms))),
    h("div", { class: "row-line muted" }, h("span", { class: "row-culprit" }, culprit(run)), h("time", { datetime: run.started_at }, clock(run.started_at))),
    h("div", { class: "row-blame", "aria-hidden": "true" }, run.blame.slice(0, 12).map((part) => h("i", { data: { phase: part.phase }, title: `${component(part)} ${part.phase}`, style: { width: `${Math.min(1, part.share) * 100}%` } }))),
  ];
}

function passes(run) {
  const { q, outcome, dependency, cause } = at.filters;
  if (outcome && (outcome === "unhealthy" ? run.healthy || run.open : ending(run).word !== outcome)) return false;
  if (cause && run.verdict?.cause !== cause) return false;
  if (dependency && !run.blame.some((part) => part.dependency === dependency) && run.verdict?.dependency !== dependency) return false;
  return !q || q.toLowerCase().split(/\s+/).every((word) => known.haystack(run).includes(word));
}

/** Whether a text has all the words that are searched for. */
function matches(text) {
  const low = text.toLowerCase();
  return at.filters.q.toLowerCase().split(/\s+/).every((word) => low.includes(word));
}

function options(select, label, chosen, words) {
  const all = [...new Set(chosen ? [...words, chosen] : words)].sort();
  const looks = JSON.stringify([all, chosen]);
  if (select.dataset.looks === looks) return;
  select.dataset.looks = looks;
  put(select, h("option", { value: "" }, label), all.map((word) => h("option", { value: word }, word.length > 60 ? `${word.slice(0, 60)}…` : word)));
  select.value = chosen;
}

function drawRuns() {
  const runs = [...state.runs.values()].reverse();
  const found = runs.filter(passes);
  const words = new Set(runs.map((run) => ending(run).word));
  if (runs.some((run) => !run.healthy && !run.open)) words.add("unhealthy");
  options(choices.outcome, "Outcome", at.filters.outcome, words);
  const names = new Set(state.dependencies.map((dependency) => dependency.dependency));
  for (const run of runs) for (const part of run.blame) if (part.dependency) names.add(part.dependency);
  options(choices.dependency, "Dependency", at.filters.dependency, [...names].slice(0, 500));
  options(choices.cause, "Cause", at.filters.cause, runs.map((run) => run.verdict?.cause).filter(Boolean));
  if (document.activeElement !== search) search.value = at.filters.q;
  const filtered = FILTERS.some((key) => at.filters[key]);
  clear.hidden = !filtered;
  const late = found.filter((run) => !run.open && run.outcome === "timeout").length;
  summary.textContent = state.connection === "loading" ? "" : `${found.length.toLocaleString("en")}${filtered ? ` of ${runs.length.toLocaleString("en")}` : ""} run${(filtered ? runs : found).length === 1 ? "" : "s"}, ${late.toLocaleString("en")} timed out`;
  list.show(found, at.run);
  list.element.hidden = found.length === 0;
  nothing.hidden = found.length > 0;
  if (found.length > 0) return;
  if (state.connection === "loading") put(nothing, "Loading…");
  else if (runs.length > 0) put(nothing, h("b", {}, "No run matches."), " ", h("button", { type: "button", class: "plain", onclick: () => unfilter() }, "Clear the filters"));
  else {
    put(
      nothing,
      h("b", {}, "No run and no failed call so far."),
      h("p", {}, "Hand a program's runs over to here:"),
      h("pre", { tabindex: 0 }, `hopwatch run --agent ${location.host} -- python job.py`),
      h("p", {}, "or lead its calls through the gateway: those that fail, or take far longer than usual, are told here. All calls are counted under ", h("a", { href: "#/dependencies" }, "Dependencies"), "."),
    );
  }
}

/* ---- drawing ---- */

let drawn = null;
let frame = 0;

/** Draws at the next frame, however much came until then. */
function later() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    draw();
  });
}

function tabs() {
  const counts = { runs: state.runs.size, open: state.open.length, dependencies: state.dependencies.length, findings: state.findings.length };
  for (const [place, [key, label]] of TABS.entries()) {
    let link = byId(`tab-${key}`);
    if (!link) {
      link = h("a", { id: `tab-${key}` }, label, " ", h("span", { class: "count" }));
      byId("tabs").append(h("li", {}, link));
      link.title = `${label} (${place + 1})`;
    }
    link.href = address({ tab: key });
    link.querySelector(".count").textContent = state.connection === "loading" ? "" : counts[key].toLocaleString("en");
    if (at.tab === key) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function draw() {
  tabs();
  const word = at.tab === "runs" ? (at.run === null ? "runs" : "run") : at.tab;
  if (drawn !== word) {
    drawn = word;
    view.className = `view-${word}`;
    const filtersOn = { open: openView, dependencies: dependenciesView, findings: findingsView }[at.tab];
    if (filtersOn) put(view, h("div", { class: "side-less" }, search, filtersOn.element));
    else {
      filters.prepend(search);
      put(view, side, at.run === null ? h("section", { class: "overview", "aria-label": "Run" }, h("p", { class: "empty" }, "Choose a run to see where its time went.")) : runView.element);
    }
  }
  if (at.tab === "runs") {
    drawRuns();
    if (at.run !== null && runView.id !== at.run) runView.show(at.run, back());
    if (at.run === null) runView.id = null;
  } else {
    if (document.activeElement !== search) search.value = at.filters.q;
    ({ open: openView, dependencies: dependenciesView, findings: findingsView })[at.tab].show(matches);
  }
  const run = at.run !== null ? state.runs.get(at.run) : null;
  document.title = run ? `${run.name} – hopwatch` : `${TABS.find(([key]) => key === at.tab)[1]} – hopwatch`;
}

const back = () => h("a", { class: "back", href: address({ tab: "runs" }) }, "← All runs");

/* ---- events ---- */

/** Says aloud which runs timed out. */
function announce(runs) {
  const late = runs.filter((run) => run.outcome === "timeout");
  if (late.length === 0) return;
  const last = late.at(-1);
  const who = last.verdict ? `, culprit ${component(last.verdict)}, ${last.verdict.phase}` : "";
  byId("announce").textContent = `${late.length > 1 ? `${late.length} new timeouts, the last one: ` : "New timeout: "}${last.name}${who}`;
}

function connection(connection, text) {
  state.connection = connection;
  const told = byId("connection");
  told.dataset.state = connection;
  if (told.textContent !== text) told.textContent = text;
  document.body.classList.toggle("stale", connection === "lost");
  later();
}

listen({
  report(report) {
    known.replace(report);
    if (at.run !== null) runView.show(at.run, back());
    later();
  },
  changes(report) {
    const was = state.runs.has(at.run);
    announce(known.change(report));
    // One that went on and is gone is asked for too: that it is not kept is said.
    if (report.runs.some((run) => run.id === at.run) || (was && !state.runs.has(at.run))) runView.show(at.run, back());
    later();
  },
  open(report) {
    known.open(report);
    later();
  },
  kept({ runs }) {
    known.keep(runs);
    later();
  },
  live: () => connection("live", "● Live"),
  lost: (seconds) => connection("lost", `✕ Disconnected${state.told ? `, as of ${clock(state.told)}` : ""}; trying again every ${seconds} s`),
});

/* ---- keys, theme, help ---- */

const THEMES = ["system", "light", "dark"];

function theme(word) {
  if (word === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = word;
  byId("theme").textContent = `Theme: ${word}`;
  try {
    localStorage.setItem("hopwatch-theme", word);
  } catch {
    // A browser that keeps nothing asks again next time.
  }
}

let chosen = "system";
try {
  chosen = localStorage.getItem("hopwatch-theme") ?? "system";
} catch {
  // As above.
}
if (!THEMES.includes(chosen)) chosen = "system";
theme(chosen);
byId("theme").addEventListener("click", () => {
  chosen = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
  theme(chosen);
});

const keys = byId("keys");
put(
  keys,
  h("h2", { id: "keys-title" }, "Keys and words"),
  h(
    "dl",
    { class: "keys" },
    [
      ["↓ ↑  or  j k", "the next run, the one before"],
      ["Enter", "shows the run that is marked"],
      ["/", "search"],
      ["1 2 3 4", "runs, open, dependencies, findings"],
      ["Escape", "leaves the search; back to all runs"],
      ["?", "this help"],
    ].map(([key, text]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, text))),
  ),
  h("p", {}, "A run is a unit of work, a hop one call of it to a dependency. Its time is split into phases; blame are the shares of the run that it waited for, by dependency and phase. The culprit is the share that took far more than it normally does, which need not be where the error was raised."),
  h("p", { class: "muted" }, "The same for programs: ", h("a", { href: "/api/report" }, "/api/report"), ", ", h("a", { href: "/api/open" }, "/api/open"), ", ", h("a", { href: "/metrics" }, "/metrics"), "."),
  h("form", { method: "dialog" }, h("button", {}, "Close")),
);
byId("help").addEventListener("click", () => keys.showModal());

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key === "Escape") {
    if (typing === search && search.value) {
      search.value = "";
      filter("q", "");
    } else if (typing) {
      typing.blur();
      if (at.tab === "runs") list.element.focus();
    } else if (at.run !== null) {
      go({ tab: "runs" });
      list.element.focus();
    } else return;
  } else if (typing) {
    if (event.key !== "ArrowDown" || typing !== search || at.tab !== "runs") return;
    list.element.focus();
    list.go(0);
  } else if (event.key === "/") {
    search.focus();
    search.select();
  } else if (event.key === "?") keys.showModal();
  else if (TABS[event.key - 1]) go({ tab: TABS[event.key - 1][0] });
  else if (["ArrowDown", "ArrowUp", "j", "k"].includes(event.key) && at.tab === "runs" && !event.target.closest("button, summary, .scroll, .run")) {
    list.element.focus();
    list.key(event);
    return;
  } else return;
  event.preventDefault();
});

addEventListener("hashchange", follow);
addEventListener("popstate", follow);
draw();
