// What others change is shown here at once: the server says so, and the page asks anew.

import { refresh, state } from "./state.js";

const listeners = new Map(); // kind of event -> who wants to hear of it
let stream = null;
let onLimits = () => {};

export const listen = (kind, listener) => { listeners.set(kind, [...(listeners.get(kind) ?? []), listener]); };
export const onOthersLimits = (listener) => { onLimits = listener; };

// A browser opens few connections to one server: a page that nobody sees lets its own go.
export function open(kinds) {
  if (stream || document.hidden) return;
  stream = new EventSource("v1/events");
  for (const kind of kinds) {
    stream.addEventListener(kind, (event) => {
      for (const listener of listeners.get(kind) ?? []) listener(JSON.parse(event.data));
    });
  }
}

export function follow(kinds) {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { stream?.close(); stream = null; } else open(kinds);
  });
  open(kinds);
}

// The grid follows a line that is fast, but never at the cost of judging.
let due = null;
let asked = false;
async function soon() {
  asked = true;
  if (due) return;
  while (asked) {
    asked = false;
    const started = performance.now();
    due = refresh().catch(() => {});
    await due;
    const took = performance.now() - started;
    await new Promise((resolve) => { setTimeout(resolve, Math.max(300, 3 * took)); });
  }
  due = null;
}

export function followHistory() {
  for (const kind of ["picture", "mark", "removed", "missed"]) listen(kind, soon);
  let version = null;
  listen("hello", (content) => {
    if (content.version !== state.calibration?.version || version !== null) soon(); // back after a pause
    version = content.version;
  });
  listen("limits", async (content) => {
    if (state.deciding || state.calibration?.version === content.version) { soon(); return; }
    await refresh().catch(() => {});
    onLimits(content);
  });
  follow(["hello", "picture", "mark", "removed", "missed", "limits", "alarm"]);
}
