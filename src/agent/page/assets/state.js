// What is known: the last report, and what came since.

const TREND_MS = 600_000;

export const state = {
  /** `loading`, `live` or `lost`. */
  connection: "loading",
  /** Runs by their id, in the order in which they came. */
  runs: new Map(),
  dependencies: [],
  findings: [],
  notes: [],
  losses: null,
  /** Open calls, and the moment here at which they were told. */
  open: [],
  openAt: 0,
  source: null,
  version: null,
  /** When the last word came (instant of the server). */
  told: null,
};

const keyOf = ({ kind, dependency }) => `${kind}/${dependency}`;

function common(report) {
  state.findings = report.findings;
  state.notes = report.notes;
  state.losses = report.losses;
  state.source = report.source;
  state.version = report.hopwatch;
  state.told = report.generated_at;
}

/** All anew. */
export function replace(report) {
  common(report);
  state.runs = new Map(report.runs.map((run) => [run.id, run]));
  state.dependencies = report.dependencies;
}

/** What changed; the runs that are new, or over since. */
export function change(report) {
  common(report);
  const fresh = report.runs.filter((run) => !run.open && (state.runs.get(run.id)?.open ?? true));
  // All that go on are told each time: what is not among them is gone.
  for (const [id, run] of state.runs) if (run.open) state.runs.delete(id);
  for (const run of report.runs) state.runs.set(run.id, run);
  const before = new Map(state.dependencies.map((dependency) => [keyOf(dependency), dependency.trend]));
  const from = Date.parse(report.generated_at) - TREND_MS;
  for (const dependency of report.dependencies) {
    const first = dependency.trend[0]?.started_at;
    const kept = (before.get(keyOf(dependency)) ?? []).filter((step) => Date.parse(step.started_at) > from && !(step.started_at >= first));
    dependency.trend = [...kept, ...dependency.trend];
  }
  state.dependencies = report.dependencies;
  return fresh;
}

/** Only so many ended runs are kept where they come from: the oldest go. */
export function keep(kept) {
  let more = [...state.runs.values()].filter((run) => !run.open).length - kept;
  for (const [id, run] of state.runs) {
    if (more <= 0) break;
    if (!run.open) {
      state.runs.delete(id);
      more -= 1;
    }
  }
}

/** The calls that are open. */
export function open(report) {
  state.open = report.hops;
  state.openAt = performance.now();
}

/** All that a run can be found by. */
export function haystack(run) {
  run.haystack ??= [
    run.id,
    run.name,
    run.trace_id,
    run.verdict?.sentence,
    run.verdict?.cause,
    run.verdict?.raised_at?.error_type,
    ...run.blame.flatMap((row) => [keyOf(row), row.phase]),
  ]
    .filter(Boolean)
    .join("\n")
    .toLowerCase();
  return run.haystack;
}
