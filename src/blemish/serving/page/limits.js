// The rate, recalibrating, and the way back.

import { call, get } from "./api.js";
import { say } from "./say.js";
import { onChange, refresh, state } from "./state.js";
import { byId, make, percent, score, several, time, verdictWord } from "./words.js";

const RATES = [0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5];
const slider = byId("rate");

// The steps, and the rate in force among them whatever it is.
function rates() {
  const own = state.calibration?.false_alarm_rate;
  return own && !RATES.includes(own) ? [...RATES, own].sort((a, b) => a - b) : RATES;
}

let waiting = null;
slider.addEventListener("input", () => {
  const rate = rates()[slider.value];
  state.rate = rate === state.calibration.false_alarm_rate ? null : rate;
  byId("rate-value").textContent = percent(rate);
  clearTimeout(waiting);
  waiting = setTimeout(() => refresh().catch((error) => say(error.message)), 90);
});

byId("rate-back").addEventListener("click", () => { state.rate = null; refresh(); slider.focus(); });
byId("rate-use").addEventListener("click", () => propose(null, state.rate));
byId("recalibrate").addEventListener("click", () => {
  propose(document.querySelector('[name="how"]:checked').value, state.rate);
});
byId("undo").addEventListener("click", () => activate(null));
byId("write").addEventListener("click", async () => {
  const { version } = await call("POST", `v1/calibrations/write?expected=${state.calibration.version}`);
  say(`Calibration ${version} is in ${state.model.name} now: the command line judges by it as well.`);
});

// What this page decides is no news to it.
async function decide(path, json) {
  state.deciding = true;
  try { return await call("POST", path, { json }); } finally { state.deciding = false; }
}

async function activate(version) {
  try {
    const now = await decide("v1/calibrations/activate", { version, expected: state.calibration.version });
    state.rate = null;
    await refresh();
    await drawVersions();
    say(`Calibration ${now.version} is in force.`);
  } catch (error) { say(error.message); refresh(); }
}

let proposal = null;
export async function propose(how, rate, images = []) {
  const leave_out = images.map((image) => image.image);
  try {
    const found = await get("v1/recalibration", { how, false_alarm_rate: rate, leave_out });
    proposal = { how, false_alarm_rate: rate, leave_out, expected: found.version };
    const names = images.map((image) => image.name).join(", ");
    byId("proposal-title").textContent = how ? "New limits from marked pictures"
      : names ? `New limits without ${names}` : `A false-alarm rate of ${percent(rate)}`;
    byId("proposal-body").replaceChildren(...proposalBody(found));
    if (names && state.model.facts.cross_fitted) {
      byId("proposal-body").append(make("p", "dim", `The model has learned ${names} and still takes what is seen there for good. Where it is no good part, learn without it: blemish fit, with --leave-out.`));
    }
    document.querySelector(".caveat").hidden = !how;
    byId("proposal-use").disabled = false;
    byId("proposal").showModal();
    byId("proposal-use").focus();
  } catch (error) { say(error.message); }
}

// What is proposed here followed from limits that are in force no more.
export function outdated(version) {
  if (!byId("proposal").open || proposal.expected === version) return;
  byId("proposal-use").disabled = true;
  const text = `Calibration ${version} is in force by now, not ${proposal.expected}: somebody else changed the limits. Cancel, and look again.`;
  const warning = make("p", "warn", text);
  warning.setAttribute("role", "alert");
  byId("proposal-body").prepend(warning);
}

function proposalBody(found) {
  const before = new Map((found.before ?? []).map((l) => [l.product, l]));
  // Products nothing changes for would only be in the way.
  const moves = (l) => ["defect", "unsure", "map"].some((kind) => before.get(l.product)?.[kind] !== l[kind]);
  const moved = found.after.filter((l) => moves(l) || (l.product !== null && before.get(l.product)?.n !== l.n));
  const parts = [];
  const rows = moved.flatMap((after) => {
    const old = before.get(after.product);
    const name = found.after.length > 1 ? `${after.product ?? "all products together"}: ` : "";
    return [
      [`${name}defect above`, old && score(old.defect), score(after.defect)],
      [`${name}unsure above`, old && score(old.unsure), score(after.unsure)],
      [`${name}good pictures`, old && String(old.n), String(after.n)],
    ];
  });
  for (const verdict of ["defect", "unsure", "ok"]) {
    rows.push([`pictures here: ${verdictWord(verdict)}`, String(found.verdicts.before[verdict] ?? 0), String(found.verdicts.after[verdict] ?? 0)]);
  }
  const { good, defect } = found.marked;
  if (good.total) rows.push([`of ${several(good.total, "picture")} marked good, stopped`, String(good.stopped_before), String(good.stopped_after)]);
  if (defect.total) rows.push([`of ${several(defect.total, "picture")} marked defect, stopped`, String(defect.stopped_before), String(defect.stopped_after)]);
  const body = make("tbody", "", ...rows.map(([what, old, now]) => {
    const cell = make("td", "", now);
    if (old !== now) cell.replaceChildren(make("strong", "", now));
    return make("tr", "", make("td", "", what), make("td", "", old ?? "–"), cell);
  }));
  const head = make("thead", "", make("tr", "", make("th"), make("th", "", "now"), make("th", "", "after")));
  if (defect.total && defect.stopped_after < defect.stopped_before) {
    parts.push(make("p", "warn", `${several(defect.stopped_before - defect.stopped_after, "picture")} marked as defect would no longer be stopped.`));
  }
  parts.push(make("div", "scroll", make("table", "", head, body)));
  if (!moved.some(moves)) parts.push(make("p", "dim", "No limit moves."));
  return parts;
}

byId("proposal-cancel").addEventListener("click", () => byId("proposal").close());
byId("proposal-use").addEventListener("click", async () => {
  byId("proposal").close();
  try {
    const version = await decide("v1/recalibration", proposal);
    state.rate = null;
    await refresh();
    await drawVersions();
    say(`Calibration ${version.version} is in force. Undo brings the last one back.`);
  } catch (error) { say(error.message); refresh(); }
});

let drawn = null;
async function drawVersions() {
  const versions = await get("v1/calibrations");
  drawn = state.calibration?.version;
  byId("versions").replaceChildren(...versions.slice(0, 30).map((version) => {
    const rate = version.false_alarm_rate === null ? "no limits" : `${percent(version.false_alarm_rate)} · ${several(version.n, "good picture")}`;
    const text = make("span", "", version.note, make("small", "", `${rate} · ${time(version.created)}`));
    let last = make("span", "now", "in force");
    if (!version.active) {
      last = make("button", "plain", "Go back");
      last.type = "button";
      last.setAttribute("aria-label", `Go back to calibration ${version.version}`);
      last.addEventListener("click", () => activate(version.version));
    }
    const item = make("li", "", make("b", "", String(version.version)), text, last);
    item.dataset.version = version.version;
    return item;
  }));
}

// What is promised follows from the good pictures behind the limits, not from the wish alone.
function promise(judged) {
  const weakest = judged.limits.filter((l) => l.product !== null || judged.limits.length === 1)
    .reduce((a, b) => (b.defect_rate > a.defect_rate ? b : a));
  if (weakest.defect_rate <= judged.false_alarm_rate + 1e-12) {
    return `Of good parts, at most ${percent(judged.false_alarm_rate)} are called defective, and ${percent(judged.unsure_rate)} at least unsure.`;
  }
  const few = judged.limits.filter((l) => l.product !== null && l.defect_rate > judged.false_alarm_rate + 1e-12);
  const names = few.length ? few.map((l) => `${l.product} ${percent(l.defect_rate)}`).join(", ") : percent(weakest.defect_rate);
  const how = judged.limits.some((l) => l.estimated) ? " The limits are estimates for it, without a promise." : "";
  return `Too few good pictures for ${percent(judged.false_alarm_rate)}. What can be promised: ${names}.${how}`;
}

onChange(() => {
  const judged = state.judgedBy;
  byId("rate-card").hidden = !judged;
  byId("undo").disabled = state.calibration.parent === null;
  const good = state.pictures.filter((p) => p.mark === "good").length;
  const bad = state.pictures.filter((p) => p.mark === "defect").length;
  byId("marked").textContent = good + bad === 0
    ? "Mark good parts with ✓, then set the limits by them. No training is needed."
    : `${several(good, "picture")} marked good, ${bad} marked defect.`;
  byId("recalibrate").disabled = good + bad === 0;
  if (drawn !== state.calibration.version) drawVersions().catch(() => {});
  drawn = state.calibration.version;
  if (!judged) return;
  const steps = rates();
  slider.max = String(steps.length - 1);
  const rate = state.rate ?? judged.false_alarm_rate;
  slider.value = String(steps.findIndex((step) => Math.abs(step - rate) < 1e-12));
  slider.setAttribute("aria-valuetext", percent(rate));
  byId("rate-value").textContent = percent(rate);
  byId("rate-meaning").textContent = promise(judged);
  const then = state.calibration.false_alarm_rate;
  byId("rate-preview").hidden = state.rate === null;
  byId("rate-change").textContent = `${percent(then)} is in force; everything is shown as ${percent(rate)} would judge it.`;
  const notes = byId("notes");
  notes.hidden = judged.notes.length === 0;
  notes.querySelector("summary").textContent = `${several(judged.notes.length, "note")} on these limits`;
  notes.querySelector("ul").replaceChildren(...judged.notes.map((note) => make("li", "", note)));
  byId("csv").href = state.rate === null ? "v1/history.csv" : `v1/history.csv?false_alarm_rate=${state.rate}`;
});
