// The finished models: what each is, and where to go with it.

import { get } from "/static/api.js";
import { jobs, onJobs } from "/static/nav.js";
import { byId, make, percent, several, time } from "/static/words.js";

const METHODS = { patchcore: "Instant (patchcore)", trio: "Standard (trio)", logicrd: "Logical (logicrd)" };

function link(text, href, kind = "") {
  const made = make("a", `button ${kind}`, text);
  made.href = href;
  return made;
}

function modelItem(model) {
  const head = make("div", "head", make("strong", "", model.name), make("span", "dim", model.created ? time(model.created) : ""));
  if (model.error) return make("li", "model", head, make("p", "error", model.error));
  const rows = [
    ["learned", METHODS[model.method] ?? model.method],
    ["products", model.products.join(", ")],
    ["from", [several(model.training_images ?? 0, "good picture"), ...model.taught.map((more) => `then ${more.images} of ${more.product}`)].join(", ")],
    ["limits", model.n ? `${percent(model.false_alarm_rate)} false alarms asked for, ${several(model.n, "good picture")} behind them` : "none yet"],
    ["file", `${model.file} · ${(model.bytes / 2 ** 20).toFixed(1)} MiB`],
  ];
  const list = make("dl", "", ...rows.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));
  const at = `/inspect/${encodeURIComponent(model.name)}/`;
  return make("li", "model", head, list, make("div", "row", link("Inspect", at), link("Limits", `${at}#limits`), link("Compare", `#compare`)));
}

let drawn = "";
export async function drawModels() {
  const models = await get("/v1/studio/models");
  byId("no-models").hidden = models.length > 0;
  byId("model-list").replaceChildren(...models.map(modelItem));
}
onJobs(() => {
  const done = jobs.filter((job) => job.state === "done").length;
  if (String(done) !== drawn && !byId("models").hidden) drawModels();
  drawn = String(done);
});
