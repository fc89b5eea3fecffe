// The live page: the verdict large, the picture as fast as this screen can show it, the last twenty.

import { call, get } from "./api.js";
import { follow, listen } from "./events.js";
import "./login.js";
import { addSwitch } from "./switch.js";
import { byId, make, score, time, times } from "./words.js";

const SIGNS = { ok: ["✓", "OK"], unsure: ["?", "UNSURE"], defect: ["✕", "NOT OK"] };
const STATES = { connecting: "connecting…", running: "", away: "no pictures", ended: "ended" };
const LAST = 20;
let last = []; // the newest first
let counts = {};
let held = null; // a picture that somebody looks at while others come
let loading = false;
let shown = null;

const waited = ({ milliseconds: ms }) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
const signOf = (verdict) => SIGNS[verdict] ?? ["–", "no limits"];

function drawVerdict(facts) {
  const [sign, word] = signOf(facts.verdict);
  byId("big").className = `big ${facts.verdict ?? ""}`;
  byId("sign").textContent = sign;
  byId("word").textContent = word;
  const far = facts.times_limit === null ? `score ${score(facts.score)}` : times(facts.times_limit);
  byId("detail").textContent = [facts.part ?? "", facts.product ?? "", far].filter(Boolean).join(" · ");
}

// One picture at a time is on its way: a slow network shows fewer, never older ones.
async function drawPicture(facts) {
  if (loading || shown === `${facts.number} ${byId("heat").checked}`) return;
  loading = true;
  const wanted = [["picture", byId("picture")]];
  if (byId("heat").checked && facts.verdict) wanted.push(["heat", byId("layer")]);
  const ready = await Promise.all(wanted.map(async ([kind, image]) => {
    const fresh = new Image();
    fresh.src = `v1/live/${facts.number}/${kind}`;
    try { await fresh.decode(); } catch { return null; } // none of the last twenty any more
    return () => { image.src = fresh.src; };
  }));
  if (ready.every(Boolean)) {
    ready.forEach((put) => put());
    byId("picture").alt = `${facts.name}, ${signOf(facts.verdict)[1]}`;
    byId("layer").hidden = wanted.length === 1;
    shown = `${facts.number} ${byId("heat").checked}`;
  }
  loading = false;
  const next = held ?? last[0];
  if (next && next.number !== facts.number && ready.every(Boolean)) requestAnimationFrame(() => drawPicture(next));
}

function drawLast() {
  byId("last").replaceChildren(...last.map((facts) => {
    const [sign, word] = signOf(facts.verdict);
    const button = make("button", facts.verdict ?? "", sign);
    button.type = "button";
    button.title = `${time(facts.taken * 1000)} ${facts.part ?? ""}`.trim();
    button.setAttribute("aria-label", `${word}, ${facts.part ?? facts.name}`);
    button.setAttribute("aria-pressed", String(held?.number === facts.number));
    button.addEventListener("click", () => hold(held?.number === facts.number ? null : facts));
    return make("li", "", button);
  }));
}

function drawCounts() {
  for (const verdict of ["ok", "unsure", "defect"]) byId(`count-${verdict}`).textContent = String(counts[verdict] ?? 0);
}

function hold(facts) {
  held = facts;
  byId("held").hidden = !held;
  byId("held").querySelector("span").textContent = held ? `${held.part ?? held.name}, ${time(held.taken * 1000)}. The line goes on.` : "";
  draw();
}

function draw() {
  const facts = held ?? last[0];
  byId("now").hidden = !facts;
  if (facts) { drawVerdict(facts); drawPicture(facts); }
  drawLast();
  drawCounts();
}

let waiting = false;
listen("live", (facts) => {
  last = [facts, ...last.filter((one) => one.number !== facts.number)].slice(0, LAST);
  const kind = facts.verdict ?? "none";
  counts[kind] = (counts[kind] ?? 0) + 1;
  byId("latency").textContent = waited(facts);
  if (waiting) return; // as often as the screen is drawn, and no more
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
});

// What no verdict tells: frames dropped, the rate, a camera that is gone.
async function look() {
  try {
    const found = await get("v1/live");
    byId("none").hidden = true;
    byId("numbers").hidden = false;
    byId("source").textContent = found.source;
    document.title = `${found.source} · blemish`;
    byId("how").textContent = [STATES[found.state], found.state === "running" ? "" : found.reason].filter(Boolean).join(": ")
      || `${found.seen} pictures, ${found.judged} judged`;
    byId("how").className = found.state === "away" ? "error" : "";
    byId("rate").textContent = String(found.rate);
    byId("dropped").textContent = String(found.dropped);
    byId("since").textContent = `Counted since ${time(found.since)}.`;
    counts = found.counts;
    last = found.last;
    if (last[0]) byId("latency").textContent = waited(last[0]);
    draw();
  } catch (error) {
    byId("none").hidden = false;
    byId("none").textContent = error.message;
    return error.status === 409; // there is no camera, and there will be none
  }
  return false;
}

byId("heat").addEventListener("change", draw);
byId("back").addEventListener("click", () => hold(null));
byId("zero").addEventListener("click", () => call("POST", "v1/live/zero", { json: {} }).then(look));
byId("ask").addEventListener("click", async () => {
  byId("ask").disabled = true;
  try { await call("POST", "v1/trigger", { json: {} }); } catch (error) { byId("how").textContent = error.message; }
  byId("ask").disabled = false;
});

for (const kind of ["counter", "source", "hello", "missed"]) listen(kind, look);
await addSwitch();
if (!await look()) {
  follow(["hello", "missed", "live", "counter", "source"]);
  setInterval(() => { if (!document.hidden) look(); }, 2000);
}
document.documentElement.dataset.ready = "true";
