// Files on their way into the project, and what was found in them.

import { call, get } from "/static/api.js";
import { refreshPictures, state } from "/static/pictures.js";
import { byId, make, several } from "/static/words.js";

const AT_ONCE = 4;
const IMAGE = /\.(png|jpe?g|bmp|tiff?|webp|pgm|ppm|pnm|jp2|gif)$/i;
let waiting = [];
let counts = null;
let stopper = null;

export async function add(files) {
  const wanted = files.filter(({ path }) => IMAGE.test(path));
  const others = files.length - wanted.length;
  waiting.push(...wanted);
  if (counts) { counts.all += wanted.length; counts.others += others; draw(); return; }
  counts = { all: wanted.length, others, done: 0, good: 0, defect: 0, unsorted: 0, equal: 0, masks: 0, because: new Map(), failed: [] };
  byId("intake").hidden = false;
  byId("intake-more").hidden = true;
  byId("intake-stop").textContent = "Stop";
  stopper = new AbortController();
  draw();
  const look = setInterval(() => refreshPictures().catch(() => {}), 1500);
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  clearInterval(look);
  const found = counts;
  counts = null;
  await refreshPictures();
  report(found);
}

async function work() {
  while (waiting.length > 0) {
    const entry = waiting.shift();
    try {
      const taken = await send(entry);
      if (taken.equal_to) counts.equal += 1;
      else counts[taken.role] += 1;
      if (taken.because && !taken.equal_to) {
        const why = `${taken.role === "defect" ? "defects" : taken.role}: ${taken.because}`;
        counts.because.set(why, (counts.because.get(why) ?? 0) + 1);
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.code === "mask") counts.masks += 1;
      else counts.failed.push([entry.path, error.message]);
    }
    counts.done += 1;
    draw();
  }
}

async function send({ file, path }) {
  const query = new URLSearchParams({ path });
  const product = byId("new-product").value.trim();
  if (product) query.set("product", product);
  const role = byId("new-role").value;
  if (role) query.set("role", role);
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call("POST", `/v1/studio/pictures?${query}`, { body: file, type: "application/octet-stream", signal: stopper.signal });
    } catch (error) {
      if (![0, 503].includes(error.status) || attempt >= 30) throw error;
      await new Promise((resolve) => { setTimeout(resolve, 1000 * Math.max(1, error.wait)); });
    }
  }
}

function draw() {
  byId("intake-bar").max = Math.max(1, counts.all);
  byId("intake-bar").value = counts.done;
  byId("intake-text").textContent = `Taken in ${counts.done} of ${counts.all}`;
}

function report(found) {
  const parts = [[found.good, "good"], [found.defect, "defect"], [found.unsorted, "to be sorted"], [found.equal, "here already"]].filter(([n]) => n);
  byId("intake-text").textContent = parts.length ? `Found ${parts.map(([n, word]) => `${n} ${word}`).join(", ")}.` : "Found no picture.";
  byId("intake-stop").textContent = "Close";
  const lines = [...found.because].map(([why, count]) => `${several(count, "picture")} taken as ${why}`);
  if (found.unsorted) lines.push(`${several(found.unsorted, "picture")} of which no folder says what they show: mark them below.`);
  if (found.equal) lines.push(`${several(found.equal, "file")} equal to a picture that is here already: kept once.`);
  if (found.masks) lines.push(`${several(found.masks, "mask")} not taken: outline defects in the opened picture.`);
  if (found.others) lines.push(`${several(found.others, "file")} that are no pictures, by their names.`);
  lines.push(...found.failed.slice(0, 200).map(([path, reason]) => `${path}: ${reason}`));
  byId("intake-more").hidden = lines.length === 0;
  byId("intake-more").open = found.failed.length > 0;
  byId("intake-more").querySelector("ul").replaceChildren(...lines.map((line) => make("li", "", line)));
}

byId("intake-stop").addEventListener("click", () => {
  if (counts) { waiting = []; stopper.abort(); } else byId("intake").hidden = true;
});
byId("check").addEventListener("click", async () => {
  byId("check").disabled = true;
  byId("intake").hidden = false;
  byId("intake-text").textContent = `Looking into ${several(state.pictures.length, "picture")}…`;
  byId("intake-bar").removeAttribute("value");
  try {
    const { found } = await get("/v1/studio/checks");
    byId("intake-text").textContent = found.length ? `${several(found.length, "thing")} to look at.` : "No problems found.";
    byId("intake-more").hidden = found.length === 0;
    byId("intake-more").open = true;
    byId("intake-more").querySelector("ul").replaceChildren(...found.map((line) => make("li", "", line)));
  } finally {
    byId("check").disabled = false;
    byId("intake-bar").value = 1;
    byId("intake-bar").max = 1;
    byId("intake-stop").textContent = "Close";
  }
});

const plain = (file) => ({ file, path: file.webkitRelativePath || file.name });
byId("add-files").addEventListener("click", () => byId("files").click());
byId("empty").addEventListener("click", () => byId("files").click());
byId("add-folder").addEventListener("click", () => byId("folder").click());
for (const id of ["files", "folder"]) {
  byId(id).addEventListener("change", (event) => { add([...event.target.files].map(plain)); event.target.value = ""; });
}

async function walk(entry, prefix) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    return [{ file, path: prefix + file.name }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (some.length === 0) return found;
    for (const inner of some) found.push(...await walk(inner, `${prefix}${entry.name}/`));
  }
}

let inside = 0;
const ours = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files") && !document.querySelector("dialog[open]");
addEventListener("dragenter", (event) => { if (ours(event)) { inside += 1; byId("dropping").hidden = false; } });
addEventListener("dragleave", () => { inside = Math.max(0, inside - 1); if (inside === 0) byId("dropping").hidden = true; });
addEventListener("dragover", (event) => { if (ours(event)) event.preventDefault(); });
addEventListener("drop", async (event) => {
  if (!ours(event)) return;
  event.preventDefault();
  inside = 0;
  byId("dropping").hidden = true;
  location.hash = "#pictures";
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  add((await Promise.all(entries.map((entry) => walk(entry, "")))).flat());
});
