// What the monitor tells, each second, for as long as the page is open. Says when it has stopped telling.

const STALE_MS = 5000;
const CHECK_MS = 500;
const AGAIN_MS = [500, 1000, 2000, 4000];

/** Calls `seen(snapshot)` for each event, and `state(name, sinceMs, why)` with live, stale or error. */
export function listen(url, { seen, state }) {
  let source = null;
  let failures = 0;
  let lastMs = performance.now();
  let newestMs = null;
  let retry = 0;
  let why = "";

  function open() {
    retry = 0;
    source = new EventSource(url);
    source.addEventListener("seen", (event) => {
      failures = 0;
      const snapshot = JSON.parse(event.data);
      if (snapshot.at_ms === newestMs) return; // told again: the monitor has stopped, though its web server has not
      newestMs = snapshot.at_ms;
      seen(snapshot); // what cannot be drawn is no news either
      lastMs = performance.now();
      why = "";
      state("live", 0, why);
    });
    // The browser's own second try gives up for good after some answers, such as a proxy's 502: so it is made here.
    source.onerror = () => {
      source.close();
      refusal(url).then((sentence) => {
        why = sentence;
        tell();
      });
      if (!retry) retry = setTimeout(open, AGAIN_MS[Math.min(failures, AGAIN_MS.length - 1)]);
      failures += 1;
    };
  }

  function tell() {
    const sinceMs = performance.now() - lastMs;
    if (newestMs !== null && sinceMs > STALE_MS) state("stale", sinceMs, why);
    else if (newestMs === null && (failures > 1 || sinceMs > STALE_MS)) state("error", sinceMs, why);
  }

  open();
  setInterval(tell, CHECK_MS);
}

/** What the monitor says against it, such as that a token is needed; nothing if it says nothing. */
async function refusal(url) {
  const abort = new AbortController();
  try {
    const response = await fetch(url, { signal: abort.signal });
    return response.ok ? "" : (await response.json()).said;
  } catch {
    return "";
  } finally {
    abort.abort();
  }
}
