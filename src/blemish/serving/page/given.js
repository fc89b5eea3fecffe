// Files given by people, picked or dropped as trees of folders: sent a few at a time, patiently
// where the server is busy, with a bar, a stop, and a report of what could not be taken.

import { call } from "./api.js";
import { byId, make } from "./words.js";

const AT_ONCE = 4;
const ENDINGS = byId("files").accept.split(",").filter((one) => one.startsWith("."));
const isPicture = (path) => ENDINGS.some((ending) => path.toLowerCase().endsWith(ending));

async function post(path, file, signal) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const answer = await call("POST", path, { body: file, type: "application/octet-stream", signal });
      return { ...answer, repeated: attempt > 0 }; // an answer that was lost may have been a yes
    } catch (error) {
      if (![0, 503].includes(error.status) || attempt >= 30) throw error;
      await new Promise((resolve) => { setTimeout(resolve, 1000 * Math.max(1, error.wait)); });
    }
  }
}

// What was found, with a line for each thing to know; failures are [path, why].
export function showFound(text, lines, failed = []) {
  byId("progress").hidden = false;
  byId("progress-text").textContent = text;
  byId("progress-stop").textContent = "Close";
  const more = byId("progress-more");
  more.hidden = lines.length + failed.length === 0;
  more.open = failed.length > 0;
  more.querySelector("ul").replaceChildren(...lines.map((line) => make("li", "", line)),
    ...failed.slice(0, 200).map(([path, why]) => make("li", "", make("strong", "", path), ` ${why}`)));
}

// doing: "Judged"; begin(): what a batch starts with, which send and report are given as its counts;
// send(path, post, counts): one file, by post(where); refresh(): shows what came so far;
// report({all, others, failed, counts}): showFound's arguments, null where all is well.
export function takeFiles({ doing, begin, send, refresh, report, anyName = false }) {
  let waiting = [];
  let now = null;

  function draw() {
    byId("progress-bar").max = Math.max(1, now.all);
    byId("progress-bar").value = now.done;
    byId("progress-text").textContent = `${doing} ${now.done} of ${now.all}`;
  }

  async function work() {
    while (waiting.length > 0 && !now.stopper.signal.aborted) {
      const { file, path } = waiting.shift();
      try {
        await send(path, (where) => post(where, file, now.stopper.signal), now.counts);
      } catch (error) {
        if (error.name === "AbortError") return;
        now.failed.push([path, error.message]);
      }
      now.done += 1;
      draw();
    }
  }

  // The grid follows while pictures come in, but never at the cost of taking them.
  async function look() {
    while (now.working) {
      const started = performance.now();
      await refresh().catch(() => {});
      const took = performance.now() - started;
      await new Promise((resolve) => { setTimeout(resolve, Math.max(600, 3 * took)); });
    }
  }

  // Folders hold more than pictures; what was picked one by one may be called anything.
  async function add(files, fromFolder) {
    const wanted = files.filter(({ path }) => (anyName && !fromFolder) || isPicture(path));
    const others = files.length - wanted.length;
    if (files.length === 0) return;
    waiting.push(...wanted);
    if (now) { now.all += wanted.length; now.others += others; draw(); return; }
    now = { all: wanted.length, others, done: 0, failed: [], counts: begin() };
    byId("progress").hidden = false;
    byId("progress-more").hidden = true;
    byId("progress-stop").textContent = "Stop";
    do { // what is given while the grid is drawn for the last time still belongs to this batch
      now.stopper = new AbortController();
      now.working = true;
      draw();
      const looking = look();
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      now.working = false;
      await looking;
      await refresh().catch(() => {}); // what could not be taken is said all the same
    } while (waiting.length > 0);
    const said = report(now);
    now = null;
    if (said) showFound(...said);
    else byId("progress").hidden = true;
  }

  byId("progress-stop").addEventListener("click", () => {
    if (now) { waiting = []; now.stopper.abort(); } else byId("progress").hidden = true;
  });
  for (const [button, input] of [["add-files", "files"], ["empty", "files"], ["add-folder", "folder"]]) {
    byId(button).addEventListener("click", () => byId(input).click());
  }
  for (const input of ["files", "folder"]) {
    byId(input).addEventListener("change", ({ target }) => {
      add([...target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })), input === "folder");
      target.value = "";
    });
  }
  takeDropped(add);
}

async function walk(entry, prefix = "") {
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

function takeDropped(add) {
  let inside = 0;
  const on = (kind, heard) => addEventListener(kind, (event) => {
    if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    event.preventDefault(); // or the browser would leave the page for the file
    if (!document.querySelector("dialog[open]")) heard(event);
  });
  const show = (count) => { inside = Math.max(0, count); byId("dropping").hidden = inside === 0; };
  on("dragenter", () => show(inside + 1));
  on("dragleave", () => show(inside - 1));
  on("dragover", () => {});
  on("drop", async (event) => {
    show(0);
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    const trees = await Promise.all(entries.map((entry) => walk(entry)));
    add(trees.flat(), entries.some((entry) => entry.isDirectory));
  });
}
