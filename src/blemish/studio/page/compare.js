// Two models on the same pictures: who finds what, where they differ, how long it takes.

import { call, get } from "/static/api.js";
import { jobs, lookAtJobs, onJobs } from "/static/nav.js";
import { refreshPictures, smallUrl, state } from "/static/pictures.js";
import { openViewer } from "/static/viewer.js";
import { say } from "/static/say.js";
import { byId, make, percent, several, verdictWord } from "/static/words.js";

const [one, other] = [byId("compare-one"), byId("compare-other")];
let asked = "";

export async function drawCompare() {
  const models = (await get("/v1/studio/models")).filter((m) => !m.error).map((m) => m.name);
  const [first, second] = [one.value || models[0], other.value || models[1]];
  one.replaceChildren(...models.map((m) => new Option(m, m, false, m === first)));
  other.replaceChildren(...models.map((m) => new Option(m, m, false, m === second)));
  byId("compare-judge").disabled = models.length < 2;
  if (models.length < 2) {
    byId("compare-result").replaceChildren(make("p", "empty-line", "Two models are needed. Train another, in another way."));
    return;
  }
  await look();
}

async function look() {
  if (one.value === other.value) {
    byId("compare-result").replaceChildren(make("p", "dim", "Choose two different models."));
    return;
  }
  asked = `${one.value}|${other.value}`;
  const found = await get("/v1/studio/compare", { model: [one.value, other.value] });
  if (found.missing.length) {
    byId("compare-result").replaceChildren(make("p", "", `${found.missing.join(" and ")} ${found.missing.length > 1 ? "have" : "has"} not judged these pictures yet.`));
    return;
  }
  draw(found);
}

const share = (value) => (value ? `${value.count} of ${value.of} (${percent(value.count / value.of)}; 95 %: ${percent(value.low)} to ${percent(value.high)})` : "none marked");

function table(found) {
  const names = Object.keys(found.models);
  const row = (what, cell) => make("tr", "", make("th", "", what), ...names.map((name) => make("td", "", cell(found.models[name], name))));
  const head = make("thead", "", make("tr", "", make("th"), ...names.map((name) => make("th", "", name))));
  const body = make("tbody", "",
    row("defects stopped", (m) => share(m.found)),
    row("defects at least unsure", (m) => `${m.defect.defect + m.defect.unsure} of ${m.defect.defect + m.defect.unsure + m.defect.ok}`),
    row("false alarms on good pictures not learned", (m) => share(m.false_alarms)),
    row("stopped of good pictures that were learned", (m) => `${m.learned.defect} of ${m.learned.ok + m.learned.unsure + m.learned.defect}`),
    row("of those not sorted, stopped", (m) => `${m.unsorted.defect} of ${m.unsorted.ok + m.unsorted.unsure + m.unsorted.defect}`),
    row("time per picture", (m, name) => (found.milliseconds[name] ? `${found.milliseconds[name].toFixed(0)} ms` : "–")));
  const scroll = make("div", "scroll card", make("table", "", head, body));
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "Both models in figures");
  return scroll;
}

function tiles(rows) {
  const shown = rows.slice(0, 200);
  return make("ul", "pair", ...shown.map((row, index) => {
    const image = make("img");
    image.src = smallUrl(row.path, state.pictures.find((p) => p.path === row.path)?.v);
    image.alt = "";
    image.loading = "lazy";
    const said = Object.entries(row.verdicts).map(([name, verdict]) => make("p", "", `${name}: `, make("b", verdict, verdictWord(verdict))));
    const open = make("button", "plain", image);
    open.type = "button";
    open.setAttribute("aria-label", `Open ${row.path}`);
    open.addEventListener("click", async () => {
      await refreshPictures(); // some may have been moved since they were judged
      const paths = shown.map((one) => one.path);
      if (state.pictures.some((p) => p.path === row.path)) await openViewer(paths, index);
      else say(`${row.path} was moved or marked otherwise since. Judge all pictures anew.`);
    });
    return make("li", "", open, make("div", "", make("p", "dim", row.path), ...said));
  }));
}

function draw(found) {
  const parts = [table(found)];
  if (found.not_judged) parts.push(make("p", "dim", `${several(found.not_judged, "picture")} came later and were not judged by both.`));
  parts.push(make("h3", "", found.differ.length ? `${several(found.differ.length, "verdict")} differ` : "No verdict differs"), tiles(found.differ));
  if (found.missed.length) parts.push(make("h3", "", `${several(found.missed.length, "defect")} that neither stops`), tiles(found.missed));
  byId("compare-result").replaceChildren(...parts);
}

byId("compare-judge").addEventListener("click", async () => {
  for (const name of new Set([one.value, other.value])) await call("POST", `/v1/studio/models/${encodeURIComponent(name)}/judge`);
  await lookAtJobs();
});
one.addEventListener("change", look);
other.addEventListener("change", look);

let busy = false;
onJobs(() => {
  if (byId("compare").hidden) return;
  const judging = jobs.filter((job) => job.kind === "judge" && ["running", "waiting"].includes(job.state));
  const now = judging.find((job) => job.state === "running");
  byId("compare-state").textContent = judging.length ? `${now?.title ?? "Waiting"}${now?.progress?.total ? `: ${now.progress.done} of ${now.progress.total}` : "…"}` : "";
  const failed = jobs.find((job) => job.kind === "judge");
  if (!judging.length && failed?.state === "failed") byId("compare-state").textContent = failed.message;
  if (busy && !judging.length && asked) look();
  busy = judging.length > 0;
});
