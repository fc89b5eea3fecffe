// The line: which models look at a camera and tell others, and how each goes.

import { call, get } from "/static/api.js";
import { button } from "/static/button.js";
import { say } from "/static/say.js";
import { byId, make, several } from "/static/words.js";

const STATES = { connecting: "connecting…", running: "pictures come", away: "no pictures", ended: "ended" };
const EVERY = 2000; // milliseconds
let models = [];
let lines = [];

// Values that somebody wrote by hand are choices too.
function choose(select, value) {
  if (![...select.options].some((one) => one.value === value)) select.append(new Option(value));
  select.value = value;
}

function fill() {
  const order = lines.find((one) => one.name === byId("line-model").value)?.order;
  const products = models.find((one) => one.name === byId("line-model").value)?.products ?? [];
  byId("line-product").replaceChildren(new Option("as recognised", ""), ...products.map((one) => new Option(one)));
  byId("line-product-field").hidden = products.length < 2;
  byId("line-source").value = order?.source ?? "";
  byId("line-send").value = (order?.send ?? []).join("\n");
  choose(byId("line-trigger"), order?.trigger ?? "all");
  choose(byId("line-keep"), order?.keep ?? "not-ok");
  choose(byId("line-product"), order?.product ?? "");
  byId("line-part").value = order?.part_id ?? "";
  byId("line-views").value = order?.views ?? 1;
  byId("line-error").textContent = "";
}
byId("line-model").addEventListener("change", fill);

function facts({ live, waiting, shown, problem }) {
  const rows = problem ? [["set to", shown]] : [];
  if (live) {
    rows.push([live.source, [STATES[live.state], live.reason].filter(Boolean).join(": ")]);
    rows.push(["judged", `${live.judged}, ${live.counts.defect} not OK, ${live.counts.unsure} unsure; ${live.dropped} dropped`]);
  }
  for (const [name, count] of Object.entries(waiting)) rows.push([name, count ? `${several(count, "verdict")} wait` : "all delivered"]);
  const list = make("dl", "", ...rows.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));
  return problem ? [list, make("p", "error", `Not on the line: ${problem}`)] : [list];
}

function item(line) {
  const at = `/inspect/${encodeURIComponent(line.name)}/`;
  const links = (line.live ? [["Live view", `${at}live`]] : []).concat([["Inspect", at]]).map(([text, href]) => {
    const made = make("a", "button", text);
    made.href = href;
    return made;
  });
  const change = button("Change", () => { byId("line-model").value = line.name; fill(); byId("line-source").focus(); });
  const off = button("Take off the line", async () => {
    if (!confirm(`${line.name} stops looking at its camera and tells nobody any more. What waits is kept.`)) return;
    await call("DELETE", `/v1/studio/lines/${encodeURIComponent(line.name)}`);
    await drawLines();
    fill();
  }, "plain");
  const one = make("li", "model", make("div", "head", make("strong", "", line.name)), make("div", "how", ...facts(line)), make("div", "row", ...links, change, off));
  one.dataset.line = line.name;
  return one;
}

let names = null;
async function drawLines() {
  lines = await get("/v1/studio/lines");
  byId("no-lines").hidden = lines.length > 0;
  const now = JSON.stringify(lines.map((line) => [line.name, Boolean(line.live)]));
  if (now !== names) byId("lines").replaceChildren(...lines.map(item)); // a redrawn button loses the focus
  else for (const line of lines) document.querySelector(`[data-line="${CSS.escape(line.name)}"] .how`).replaceChildren(...facts(line));
  names = now;
}

let timer = null;
async function again() {
  clearTimeout(timer);
  if (byId("line").hidden) return;
  if (!document.hidden) await drawLines().catch(() => {}); // asked again below
  timer = setTimeout(again, EVERY);
}

export async function drawLine() {
  models = (await get("/v1/studio/models")).filter((model) => !model.error);
  const chosen = byId("line-model").value;
  byId("line-model").replaceChildren(...models.map((model) => new Option(model.name)));
  if (models.some((model) => model.name === chosen)) byId("line-model").value = chosen;
  byId("line-form").hidden = !models.length;
  byId("no-lines").textContent = models.length ? "No model is on the line yet." : "No model yet: train one first.";
  await drawLines();
  if (byId("line-model").value !== chosen) fill();
  clearTimeout(timer);
  timer = setTimeout(again, EVERY);
}

byId("line-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("line-error").textContent = "";
  const name = byId("line-model").value;
  const order = {
    source: byId("line-source").value.trim(),
    trigger: byId("line-trigger").value,
    keep: byId("line-keep").value,
    product: byId("line-product").value || null,
    part_id: byId("line-part").value.trim(),
    views: Number(byId("line-views").value),
    send: byId("line-send").value.split("\n").map((text) => text.trim()).filter(Boolean),
  };
  event.submitter.disabled = true;
  try {
    await call("PUT", `/v1/studio/lines/${encodeURIComponent(name)}`, { json: order });
    say(`${name} is on the line.`);
  } catch (error) { byId("line-error").textContent = error.message; }
  event.submitter.disabled = false;
  await drawLines();
});
