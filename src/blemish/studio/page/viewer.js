// One picture, large: marks, and shapes drawn by mouse, finger or keyboard.

import { call, get } from "/static/api.js";
import { mark, refreshPictures, state } from "/static/pictures.js";
import { say } from "/static/say.js";
import { byId } from "/static/words.js";

const SVG = "http://www.w3.org/2000/svg";
const [dialog, drawing] = [byId("viewer"), byId("drawing")];
let paths = [];
let at = 0;
let size = [1, 1]; // height, width
let shapes = { outline: [], look: [], ignore: [] };
let open = []; // corners of the shape being drawn
let cross = null; // where the keyboard is
let dirty = new Set();

const layer = () => document.querySelector('[name="layer"]:checked').value;
const product = () => paths[at].split("/")[0];
const role = () => paths[at].split("/")[1];

export async function openViewer(all, index) {
  [paths, at] = [[...all], index];
  if (!paths.length) return;
  if (!dialog.open) dialog.showModal();
  await load();
}

async function load() {
  const path = paths[at];
  const known = state.pictures.find((p) => p.path === path);
  byId("viewer-name").textContent = path;
  byId("viewer-role").textContent = { good: "Good", defect: known?.kind || "Defect", unsorted: "To be sorted" }[role()];
  byId("viewer-role").className = `badge ${role()}`;
  byId("viewer-good").setAttribute("aria-pressed", String(role() === "good"));
  byId("viewer-defect").setAttribute("aria-pressed", String(role() === "defect"));
  byId("viewer-out").setAttribute("aria-pressed", String(Boolean(known?.out)));
  for (const element of dialog.querySelectorAll(".product-name")) element.textContent = product();
  const outline = document.querySelector('[name="layer"][value="outline"]');
  outline.disabled = role() !== "defect";
  document.querySelector(`[name="layer"][value="${role() === "defect" ? "outline" : "look"}"]`).checked = true;
  byId("viewer-before").disabled = at === 0;
  byId("viewer-next").disabled = at === paths.length - 1;
  byId("viewer-picture").src = `/v1/studio/picture?path=${encodeURIComponent(path)}&v=${known?.v ?? ""}`;
  byId("viewer-picture").alt = path;
  byId("draw-said").textContent = "";
  [open, cross, dirty] = [[], null, new Set()];
  shapes = { outline: [], look: [], ignore: [] };
  draw();
  const drawn = await get("/v1/studio/outline", { path });
  const region = await call("GET", `/v1/studio/regions/${encodeURIComponent(product())}`).catch((error) => { say(error.message); return null; });
  if (paths[at] !== path) return;
  size = drawn.size;
  shapes.outline = drawn.shapes;
  for (const name of ["look", "ignore"]) shapes[name] = (region?.[name] ?? []).map((shape) => shape.polygon);
  if (region && (region.height !== size[0] || region.width !== size[1])) {
    byId("draw-said").textContent = `The region was drawn for pictures of ${region.width} × ${region.height} pixels; this one has ${size[1]} × ${size[0]}.`;
  }
  draw();
}

function element(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function draw() {
  const [height, width] = size;
  const box = byId("stage").getBoundingClientRect();
  const scale = Math.min((box.width - 16) / width, (box.height - 16) / height);
  byId("sheet").style.width = `${Math.max(40, width * scale)}px`;
  byId("sheet").style.height = `${Math.max(40, height * scale)}px`;
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const now = layer();
  const parts = [];
  for (const [name, polygons] of Object.entries(shapes)) {
    for (const points of polygons) parts.push(element("polygon", { points: points.join(" "), class: `${name}${name === now ? "" : " faint"}` }));
  }
  if (open.length) {
    parts.push(element("polyline", { points: open.join(" "), class: now }));
    const [x, y] = open[0];
    parts.push(element("circle", { cx: x, cy: y, r: reach() * 0.6 }));
  }
  if (cross) {
    const [x, y] = cross;
    parts.push(element("line", { x1: x, x2: x, y1: 0, y2: height, class: "cross" }), element("line", { x1: 0, x2: width, y1: y, y2: y, class: "cross" }));
  }
  drawing.replaceChildren(...parts);
  byId("draw-save").disabled = dirty.size === 0 && open.length < 3;
  byId("draw-close").disabled = open.length < 3;
  byId("draw-back").disabled = open.length === 0 && shapes[now].length === 0;
  byId("draw-clear").disabled = open.length === 0 && shapes[now].length === 0;
}

// A finger's width in pixels of the picture.
const reach = () => (12 * size[1]) / (drawing.getBoundingClientRect().width || 1);

function place(event) {
  const box = drawing.getBoundingClientRect();
  const clamp = (value, most) => Math.round(10 * Math.max(0, Math.min(most, value))) / 10;
  return [clamp(((event.clientX - box.left) / box.width) * size[1], size[1]), clamp(((event.clientY - box.top) / box.height) * size[0], size[0])];
}

const far = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

function close() {
  if (open.length < 3) return;
  shapes[layer()].push(open);
  dirty.add(layer());
  open = [];
  draw();
}

function corner(point) {
  if (open.length > 2 && far(point, open[0]) < reach()) { close(); return; }
  open.push(point);
  draw();
}

let pressed = false;
let strokes = 0;
drawing.addEventListener("pointerdown", (event) => {
  if (event.button > 0 || document.body.classList.contains("role-operator")) return;
  event.preventDefault();
  drawing.focus({ preventScroll: true });
  drawing.setPointerCapture(event.pointerId);
  [pressed, strokes, cross] = [true, 0, null];
  corner(place(event));
});
drawing.addEventListener("pointermove", (event) => {
  if (!pressed || !open.length) return;
  const point = place(event);
  if (far(point, open.at(-1)) > reach()) { open.push(point); strokes += 1; draw(); }
});
drawing.addEventListener("pointerup", () => {
  if (pressed && strokes > 4) close(); // drawn in one go
  pressed = false;
});
drawing.addEventListener("pointercancel", () => { pressed = false; });
drawing.addEventListener("dblclick", close);

dialog.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select")) return;
  const step = (event.shiftKey ? 10 : 1) * Math.max(1, Math.round(size[1] / 200));
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (event.target === drawing && event.key in moves) {
    const [x, y] = cross ?? [size[1] / 2, size[0] / 2];
    const [dx, dy] = moves[event.key];
    cross = [Math.max(0, Math.min(size[1], x + dx)), Math.max(0, Math.min(size[0], y + dy))];
    draw();
  } else if (event.target === drawing && event.key === " ") { cross ??= [size[1] / 2, size[0] / 2]; corner([...cross]); }
  else if (event.target === drawing && event.key === "Enter") close();
  else if (event.target === drawing && event.key === "Backspace") back();
  else if (event.key === "ArrowLeft") go(-1);
  else if (event.key === "ArrowRight") go(1);
  else if (event.key.toLowerCase() === "g") markAs("good");
  else if (event.key.toLowerCase() === "d") markAs("defect");
  else return;
  event.preventDefault();
});

function back() {
  if (open.length) open.pop();
  else if (shapes[layer()].pop()) dirty.add(layer());
  draw();
}

async function save() {
  close();
  const path = paths[at];
  try {
    if (dirty.has("outline")) await call("PUT", `/v1/studio/outline?path=${encodeURIComponent(path)}`, { json: { shapes: shapes.outline } });
    if (dirty.has("look") || dirty.has("ignore")) {
      const polygons = (name) => shapes[name].map((polygon) => ({ polygon }));
      const json = { width: size[1], height: size[0], look: polygons("look"), ignore: polygons("ignore") };
      await call("PUT", `/v1/studio/regions/${encodeURIComponent(product())}`, { json });
    }
    byId("draw-said").textContent = dirty.has("outline") && dirty.size === 1 ? "Saved beside the picture." : "Saved; it counts from the next training on.";
    dirty.clear();
    draw();
    await refreshPictures();
  } catch (error) { byId("draw-said").textContent = error.message; }
}

async function go(by) {
  if (dirty.size && !confirm("What was drawn is not saved. Go on without it?")) return;
  if (at + by < 0 || at + by >= paths.length) return;
  at += by;
  await load();
}

async function markAs(as) {
  const [moved] = await mark([paths[at]], as);
  paths[at] = moved;
  await load();
}

byId("draw-close").addEventListener("click", close);
byId("draw-back").addEventListener("click", back);
byId("draw-clear").addEventListener("click", () => { open = []; shapes[layer()] = []; dirty.add(layer()); draw(); });
byId("draw-save").addEventListener("click", save);
byId("viewer-close").addEventListener("click", () => dialog.close());
byId("viewer-before").addEventListener("click", () => go(-1));
byId("viewer-next").addEventListener("click", () => go(1));
byId("viewer-good").addEventListener("click", () => markAs("good"));
byId("viewer-defect").addEventListener("click", () => markAs("defect"));
byId("viewer-out").addEventListener("click", async () => { await mark([paths[at]], "leave_out"); await load(); });
addEventListener("resize", () => { if (dialog.open) draw(); });
for (const input of document.querySelectorAll('[name="layer"]')) input.addEventListener("change", () => { open = []; draw(); });
