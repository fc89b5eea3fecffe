// "Teach these good pictures": first a look at the limits before and after, then a new model.

import { call, get } from "/static/api.js";
import { lookAtJobs } from "/static/nav.js";
import { byId, several } from "/static/words.js";

let paths = [];
let drawn = new Set(); // products with a region of interest

let models = [];

// `chosen`: pictures as the grid has them; those that are left out are not taught either.
export async function openTeach(chosen, regions) {
  paths = chosen.filter((p) => p.role === "good" && !p.out).map((p) => p.path);
  drawn = new Set(regions);
  models = (await get("/v1/studio/models")).filter((m) => !m.error);
  byId("teach-text").textContent = paths.length
    ? `${several(paths.length, "good picture")} of ${[...new Set(paths.map((p) => p.split("/")[0]))].join(", ")} ${paths.length === 1 ? "is" : "are"} added to a finished model; what it knows stays.`
    : "None of the chosen pictures is marked as good. Mark them first.";
  byId("teach-model").replaceChildren(...models.map((m) => new Option(m.name)));
  byId("teach-look").disabled = !paths.length || !models.length;
  reset();
  byId("teach-dialog").showModal();
}

function reset() {
  byId("teach-said").hidden = true;
  byId("teach-look").hidden = false;
  byId("teach-write").hidden = true;
  const [product] = paths.length ? paths[0].split("/") : [];
  const known = models.find((m) => m.name === byId("teach-model").value)?.products ?? [];
  const ignored = drawn.has(product) && !known.includes(product) ? ` The region drawn for ${product} is not learned: for that train a new model.` : "";
  byId("teach-state").textContent = `First a look: limits before and after are shown, and nothing is written.${ignored}`;
}

async function run(write) {
  for (const id of ["teach-look", "teach-write"]) byId(id).disabled = true;
  try {
    const model = encodeURIComponent(byId("teach-model").value);
    let job = await call("POST", `/v1/studio/models/${model}/teach`, { json: { paths, write } });
    await lookAtJobs();
    while (["waiting", "running"].includes(job.state)) {
      byId("teach-state").textContent = job.state === "waiting" ? "Waits for the job before it…" : `${job.progress?.task ?? "Starting"}…`;
      await new Promise((resolve) => { setTimeout(resolve, 500); });
      job = await get(`/v1/studio/jobs/${job.id}`);
    }
    byId("teach-said").textContent = job.log;
    byId("teach-said").hidden = !job.log;
    byId("teach-state").textContent = job.state !== "done" ? job.message
      : write ? `Written: ${job.facts.makes}. The model before it is as it was.` : "Nothing was written yet.";
    byId("teach-look").hidden = job.state === "done";
    byId("teach-write").hidden = write || job.state !== "done";
  } catch (error) { byId("teach-state").textContent = error.message; }
  for (const id of ["teach-look", "teach-write"]) byId(id).disabled = false;
}

byId("teach-look").addEventListener("click", () => run(false));
byId("teach-write").addEventListener("click", () => run(true));
byId("teach-cancel").addEventListener("click", () => byId("teach-dialog").close());
byId("teach-model").addEventListener("change", reset);
