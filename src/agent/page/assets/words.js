// The words and numbers of the report, as people read them.

/** Phases in the order in which a call goes through them; `backoff` lies between two attempts. */
export const PHASES = ["gate", "pool", "dns", "connect", "proxy", "tls", "send", "wait", "first_token", "stream", "backoff", "stall", "self"];

const DOING = {
  gate: "waiting at its gate",
  pool: "waiting for a free connection",
  dns: "looking its name up",
  connect: "connecting to it",
  proxy: "setting the proxy tunnel up",
  tls: "in its TLS handshake",
  send: "sending the request",
  wait: "waiting for its response",
  first_token: "waiting for its first token",
  stream: "receiving its answer",
  backoff: "between two attempts",
  stall: "blocked",
  self: "in its own work",
};

/** What a hop does in a phase. */
export const doing = (phase) => DOING[phase] ?? phase;

/** A dependency with its kind; the caller itself where there is none. */
export function component({ kind, dependency }) {
  if (kind && dependency) return `${kind}/${dependency}`;
  if (kind === "startup") return "(start-up)";
  return dependency ?? kind ?? "(own time)";
}

const trimmed = (value, digits) => String(Number(value.toFixed(digits)));

/** A duration in two or three digits: `0.4 ms`, `42 ms`, `0.31 s`, `7.9 s`, `2 min 3 s`. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms <= 0) return "0 ms";
  if (ms < 1) return `${trimmed(ms, ms < 0.1 ? 3 : 1)} ms`;
  if (ms < 99.5) return `${Math.round(ms)} ms`;
  if (ms < 995) return `${trimmed(ms / 1000, 2)} s`;
  if (ms < 59950) return `${trimmed(ms / 1000, 1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return seconds % 60 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${seconds / 60} min`;
  const minutes = Math.floor((seconds % 3600) / 60);
  return minutes ? `${Math.floor(seconds / 3600)} h ${minutes} min` : `${Math.floor(seconds / 3600)} h`;
}

/** As the report has it, to the microsecond. */
export const exact = (ms) => (ms === null || ms === undefined ? "–" : `${ms.toLocaleString("en", { maximumFractionDigits: 3 })} ms`);

export const percent = (share) => (share > 0 && share < 0.005 ? "<1 %" : `${Math.round(share * 100)} %`);

export const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

/** The time of day here; with the day where that is another. */
export function clock(instant) {
  const at = new Date(instant);
  const time = at.toLocaleTimeString("en-GB");
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString("en-CA")} ${time}`;
}

/** How a run ended: a word that filters know, a sign, and words for people. */
export function ending(run) {
  if (run.open) return { word: "open", sign: "▸", text: "goes on", tone: "open" };
  switch (run.outcome) {
    case "ok":
      return run.healthy
        ? { word: "ok", sign: "✓", text: "ok", tone: "ok" }
        : { word: "unhealthy", sign: "!", text: "ended well, but not healthy", tone: "warn" };
    case "timeout":
      return { word: "timeout", sign: "◷", text: "timed out", tone: "fail" };
    case "cancelled":
      return { word: "cancelled", sign: "⊘", text: "cancelled", tone: "warn" };
    case "error":
      return { word: "error", sign: "✕", text: "failed", tone: "fail" };
    default:
      return { word: run.outcome, sign: "✕", text: `failed (${run.outcome})`, tone: "fail" };
  }
}

/** Whether an outcome is a failure. */
export const failed = (outcome) => outcome !== null && outcome !== "ok" && outcome !== "cancelled";

/** A number or a text behind a statement. */
export function evidence({ name, value, unit }) {
  const text = typeof value === "number" ? (unit === "ms" ? duration(value) : `${value.toLocaleString("en")}${unit ? ` ${unit}` : ""}`) : value;
  return [name.replaceAll("_", " "), text];
}
