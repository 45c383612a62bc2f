// Server-sent events, with another try whenever they end.

const WAITS_S = [1, 2, 5, 10];
/** Heartbeats are not shown to scripts: after this long without a word it is asked whether anybody is there. */
const SILENCE_MS = 45_000;
/** A page that nobody looks at leaves its place to others. */
const HIDDEN_MS = 60_000;

/** Listens, and calls `on.report`, `on.changes`, `on.open`, `on.kept`, `on.live` and `on.lost(seconds)`. */
export function listen(on) {
  let source = null;
  let tries = 0;
  let retry = 0;
  let hide = 0;
  let heard = performance.now();

  function begin() {
    clearTimeout(retry);
    source?.close();
    source = new EventSource("/api/events");
    const mine = source;
    const hear = (told) => (event) => {
      // An event of the connection itself is called `open` too.
      if (mine !== source || !(event instanceof MessageEvent)) return;
      heard = performance.now();
      told(JSON.parse(event.data));
    };
    source.addEventListener(
      "report",
      hear((report) => {
        tries = 0;
        on.report(report);
        on.live();
      }),
    );
    source.addEventListener("changes", hear(on.changes));
    source.addEventListener("open", hear(on.open));
    source.addEventListener("kept", hear(on.kept));
    source.onerror = () => mine === source && lose();
  }

  function lose() {
    source?.close();
    source = null;
    const seconds = WAITS_S[Math.min(tries, WAITS_S.length - 1)];
    tries += 1;
    on.lost(seconds);
    clearTimeout(retry);
    retry = setTimeout(begin, seconds * 1000);
  }

  setInterval(async () => {
    if (!source || performance.now() - heard < SILENCE_MS) return;
    heard = performance.now();
    try {
      await fetch("/healthz", { signal: AbortSignal.timeout(5000) });
    } catch {
      lose();
    }
  }, 5000);

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hide);
    if (document.hidden) {
      hide = setTimeout(() => {
        clearTimeout(retry);
        source?.close();
        source = null;
      }, HIDDEN_MS);
    } else if (!source) {
      tries = 0;
      begin();
    }
  });

  begin();
}
