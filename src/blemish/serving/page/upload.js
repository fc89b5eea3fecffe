// Pictures on their way to the server: a few at a time, patient when it is busy.

import { call } from "./api.js";
import { refresh, state } from "./state.js";
import { byId, make, several } from "./words.js";

const AT_ONCE = 4;
const IMAGE = /\.(png|jpe?g|bmp|tiff?|webp)$/i;
let waiting = [];
let stopper = null;
let counts = null;

export function productOf(path) {
  const choice = byId("product").value;
  if (choice !== "folder") return choice;
  const parts = path.split("/").slice(0, -1);
  return state.model.products.find((product) => parts.includes(product)) ?? "";
}

// Folders hold more than pictures; what was picked one by one is judged whatever it is called.
export async function add(files, { fromFolder = false } = {}) {
  const wanted = [...files].filter((entry) => !fromFolder || IMAGE.test(entry.path));
  if (wanted.length === 0) return;
  waiting.push(...wanted);
  if (counts) { counts.all += wanted.length; draw(); return; }
  counts = { all: wanted.length, done: 0, failed: [] };
  byId("failures").hidden = true;
  byId("progress").hidden = false;
  stopper = new AbortController();
  draw();
  const looking = look();
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const { failed } = counts;
  counts = null;
  await looking;
  await refresh();
  if (failed.length === 0) byId("progress").hidden = true;
  else drawFailures(failed);
}

async function work() {
  while (waiting.length > 0) {
    const entry = waiting.shift();
    try {
      await send(entry);
    } catch (error) {
      if (error.name === "AbortError") return;
      counts.failed.push([entry.path, error.message]);
    }
    counts.done += 1;
    draw();
  }
}

async function send({ file, path }) {
  const query = new URLSearchParams({ keep: "true", name: path });
  const product = productOf(path);
  if (product) query.set("product", product);
  const type = file.type.startsWith("image/") ? file.type : "application/octet-stream";
  for (let attempt = 0; ; attempt += 1) {
    try {
      const answer = await call("POST", `v1/predict?${query}`, { body: file, type, signal: stopper.signal });
      const [{ error }] = answer.results;
      if (error) throw new Error(error.detail); // judged, but not kept
      return;
    } catch (error) {
      const again = [0, 503].includes(error.status) && attempt < 30;
      if (!again) throw error;
      await new Promise((resolve) => { setTimeout(resolve, 1000 * Math.max(1, error.wait)); });
    }
  }
}

// The grid follows while pictures come in, but never at the cost of judging them.
async function look() {
  while (counts) {
    const started = performance.now();
    await refresh().catch(() => {});
    const took = performance.now() - started;
    await new Promise((resolve) => { setTimeout(resolve, Math.max(600, 3 * took)); });
  }
}

function draw() {
  byId("progress-bar").max = counts.all;
  byId("progress-bar").value = counts.done;
  byId("progress-text").textContent = `Judged ${counts.done} of ${counts.all}`;
  byId("progress-stop").textContent = "Stop";
}

function drawFailures(failed) {
  byId("progress-text").textContent = `${several(failed.length, "file")} could not be judged.`;
  byId("progress-stop").textContent = "Close";
  const details = byId("failures");
  details.hidden = false;
  details.querySelector("summary").textContent = "Which, and why";
  details.querySelector("ul").replaceChildren(...failed.slice(0, 200).map(([path, reason]) => make("li", "", make("strong", "", path), ` ${reason}`)));
}

byId("progress-stop").addEventListener("click", () => {
  if (counts) { waiting = []; stopper.abort(); } else byId("progress").hidden = true;
});

const plain = (file) => ({ file, path: file.webkitRelativePath || file.name });
byId("add-files").addEventListener("click", () => byId("files").click());
byId("empty").addEventListener("click", () => byId("files").click());
byId("add-folder").addEventListener("click", () => byId("folder").click());
byId("files").addEventListener("change", (event) => { add([...event.target.files].map(plain)); event.target.value = ""; });
byId("folder").addEventListener("change", (event) => { add([...event.target.files].map(plain), { fromFolder: true }); event.target.value = ""; });

// Dropped folders come as trees that must be walked.
async function walk(entry, prefix) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    return [{ file, path: prefix + file.name }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (some.length === 0) break;
    for (const inner of some) found.push(...await walk(inner, `${prefix}${entry.name}/`));
  }
  return found;
}

let inside = 0;
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => { if (hasFiles(event)) { inside += 1; byId("dropping").hidden = false; } });
addEventListener("dragleave", () => { inside = Math.max(0, inside - 1); if (inside === 0) byId("dropping").hidden = true; });
addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
addEventListener("drop", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  inside = 0;
  byId("dropping").hidden = true;
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  for (const entry of entries) {
    const found = await walk(entry, "");
    add(found, { fromFolder: entry.isDirectory });
  }
});
