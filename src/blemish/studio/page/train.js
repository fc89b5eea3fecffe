// Training: four ways in plain words, and the jobs with their progress.

import { call, get } from "/static/api.js";
import { button } from "/static/button.js";
import { duration, jobs, lookAtJobs, onJobs } from "/static/nav.js";
import { say } from "/static/say.js";
import { byId, make, several, time } from "/static/words.js";

const RECIPES = [
  ["instant", "Instant", "Remembers what good parts look like. The quickest way to a first verdict; products that look alike everywhere suit it best.", 0.25, 8],
  ["standard", "Standard", "The default: three measures weighed against each other, limits from every good picture. Right for most parts.", 1.2, 15],
  ["logical", "Logical", "Also sees what is missing, doubled or in the wrong place, where every spot by itself looks fine. Trained step by step: it takes longest.", 0, 1500],
  ["few", "Few defects", "The standard way, weighed by defects you have marked: three or more of each product.", 1.4, 20],
];
let facts = null;

// What it took here before counts more than any table.
function expected(recipe, perPicture, start, pictures) {
  const before = jobs.find((job) => job.facts.recipe === recipe && job.state === "done" && job.started);
  if (before) {
    const seconds = (new Date(before.ended) - new Date(before.started)) / 1000;
    return `took ${duration(seconds)} here with ${several(before.facts.pictures, "picture")}`;
  }
  const seconds = start + perPicture * pictures;
  return recipe === "logical" ? "half an hour and more on a plain processor" : `about ${duration(seconds)} on a plain processor`;
}

export async function drawTrain() {
  const { pictures, products } = await get("/v1/studio/pictures");
  const rows = pictures.map(([path, out]) => ({ product: path.split("/")[0], role: path.split("/")[1], out }));
  const good = rows.filter((p) => p.role === "good" && !p.out);
  const bad = rows.filter((p) => p.role === "defect");
  facts = { good: good.length, bad: bad.length, products };
  const loose = rows.filter((p) => p.role === "unsorted").length;
  byId("train-facts").textContent = `${several(good.length, "good picture")} of ${several(products.length, "product")} to learn from, ${several(bad.length, "defect")} to see what is found${loose ? `; ${loose} not sorted yet` : ""}.`;
  const chosen = document.querySelector('[name="recipe"]:checked')?.value ?? "instant";
  byId("recipes").replaceChildren(...RECIPES.map(([key, name, text, per, start]) => {
    const input = make("input");
    Object.assign(input, { type: "radio", name: "recipe", value: key, checked: key === chosen, id: `recipe-${key}` });
    input.disabled = key === "few" && bad.length < 3;
    const label = make("label", "recipe", input, make("strong", "", name), make("p", "", text), make("p", "time", expected(key, per, start, good.length)));
    return label;
  }));
  byId("train-products").replaceChildren(new Option("all together", ""), ...products.map((p) => new Option(`${p} alone`, p)));
  byId("train-products-field").hidden = products.length < 2;
  if (!byId("train-name").value) await suggest();
  drawJobs();
}

async function suggest() {
  const models = await get("/v1/studio/models");
  const taken = new Set([...models.map((m) => m.name), ...jobs.map((job) => (job.facts.makes ?? "").replace(/^models\/|\.blemish$/g, ""))]);
  const recipe = document.querySelector('[name="recipe"]:checked')?.value ?? "instant";
  const base = `${(facts?.products.length === 1 ? facts.products[0] : "all").replace(/[^\w.+-]/g, "_")}-${recipe}`;
  let name = base;
  for (let number = 2; taken.has(name); number += 1) name = `${base}-${number}`;
  byId("train-name").value = name;
}
byId("recipes").addEventListener("change", suggest);

byId("train-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("train-error").textContent = "";
  const product = byId("train-products").value;
  const order = {
    recipe: document.querySelector('[name="recipe"]:checked').value,
    name: byId("train-name").value,
    products: product ? [product] : [],
    speed: byId("train-speed").value || null,
    size: Number(byId("train-size").value) || null,
    seed: Number(byId("train-seed").value) || 0,
    false_alarm_rate: Number(byId("train-rate").value),
  };
  try {
    const job = await call("POST", "/v1/studio/train", { json: order });
    say(`${job.title}: queued.`);
    await lookAtJobs();
    await suggest();
  } catch (error) { byId("train-error").textContent = error.message; }
});

const STATES = { waiting: "waits", running: "at work", done: "done", failed: "failed", cancelled: "stopped", interrupted: "interrupted" };
const opened = new Map(); // jobs whose details are shown, with them

// A button of a job, whose state is asked for whatever came of it.
function jobButton(text, action, kind) {
  return button(text, async () => {
    try { await action(); } finally { await lookAtJobs(); }
  }, kind);
}

function curve(losses) {
  if (losses.length < 3) return [];
  const [low, high] = [Math.min(...losses.map((p) => p[1])), Math.max(...losses.map((p) => p[1]))];
  const last = losses.at(-1)[0];
  const points = losses.map(([step, loss]) => `${(100 * step / last).toFixed(2)},${(37 - 34 * (loss - low) / (high - low || 1)).toFixed(2)}`);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Loss, from ${losses[0][1].toPrecision(3)} to ${losses.at(-1)[1].toPrecision(3)} after ${last} steps`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", `M${points.join("L")}`);
  svg.append(path);
  return [svg, make("p", "dim", `Loss ${losses[0][1].toPrecision(3)} → ${losses.at(-1)[1].toPrecision(3)} after ${last} steps`)];
}

function jobItem(job) {
  const item = make("li", `job ${job.state}`);
  item.dataset.job = job.id;
  const took = job.started && job.ended ? ` · ${duration((new Date(job.ended) - new Date(job.started)) / 1000)}` : "";
  const head = make("div", "head", make("strong", "", job.title), make("span", "dim", `${STATES[job.state]}${took} · ${job.who} · ${time(job.ended ?? job.started ?? job.created)}`));
  const stop = `/v1/studio/jobs/${job.id}/cancel`;
  if (job.state === "running" && job.facts.cancelled) {
    head.append(make("strong", "stopping", "Stopping…"), jobButton("Stop at once…", async () => {
      if (confirm("End it without waiting? What was trained since its last checkpoint is lost; pictures and models stay as they are.")) await call("POST", `${stop}?at_once=true`);
    }, "plain"));
  } else if (["waiting", "running"].includes(job.state)) head.append(jobButton("Cancel", () => call("POST", stop)));
  if (["cancelled", "interrupted", "failed"].includes(job.state)) {
    head.append(jobButton(job.can_go_on ? "Go on" : "Do it again", () => call("POST", `/v1/studio/jobs/${job.id}/again`), "main"));
  }
  if (job.state === "done" && job.facts.makes) {
    const link = make("a", "button", "Inspect");
    link.href = `/inspect/${job.facts.makes.replace(/^models\/|\.blemish$/g, "")}/`;
    head.append(link);
  }
  item.append(head);
  if (job.state === "running") {
    const bar = make("progress");
    bar.setAttribute("aria-label", job.title);
    const { progress } = job;
    if (progress?.total) { bar.max = progress.total; bar.value = progress.done; }
    const left = progress?.left ? `, about ${duration(progress.left)} left` : "";
    const said = progress ? `${progress.task}${progress.total ? ` ${progress.done} of ${progress.total}` : ""}${left}${progress.note ? ` · ${progress.note}` : ""}` : "starting…";
    item.append(bar, make("p", "dim", said));
  }
  if (job.message) item.append(make("p", "message", job.message));
  const details = make("details", "", make("summary", "", "Details"));
  const shown = opened.get(job.id);
  if (shown) { details.open = true; details.append(...fill(shown)); }
  details.addEventListener("toggle", async () => {
    if (!details.open) { opened.delete(job.id); return; }
    if (opened.has(job.id)) return;
    opened.set(job.id, await get(`/v1/studio/jobs/${job.id}`));
    details.append(...fill(opened.get(job.id)));
  });
  item.append(details);
  return item;
}

function fill(detail) {
  const log = make("pre", "", detail.log || "Nothing was printed yet.");
  log.tabIndex = 0;
  log.setAttribute("aria-label", "What it has printed");
  return [...curve(detail.losses), make("p", "dim", "The same on the command line, in the project’s folder:"), make("pre", "", detail.command), log];
}

let before = "";
async function drawJobs() {
  for (const [id] of opened) {
    const job = jobs.find((one) => one.id === id);
    if (job?.state === "running") opened.set(id, await get(`/v1/studio/jobs/${id}`));
  }
  const now = JSON.stringify([jobs, [...opened.values()].map((d) => d.losses.length + d.log.length)]);
  if (now === before) return; // a redrawn button loses the focus
  before = now;
  const focused = document.activeElement?.closest("[data-job]")?.dataset.job;
  const tag = document.activeElement?.tagName;
  byId("no-jobs").hidden = jobs.length > 0;
  byId("jobs").replaceChildren(...jobs.slice(0, 30).map(jobItem));
  if (focused) document.querySelector(`[data-job="${focused}"] ${tag.toLowerCase()}`)?.focus();
}
onJobs(() => { if (!byId("train").hidden) drawJobs(); });
