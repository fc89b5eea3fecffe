// One picture, large: marks, and shapes drawn by mouse, finger or keyboard.

import { call, get } from "/static/api.js";
import { mark, refreshPictures, state } from "/static/pictures.js";
import { say } from "/static/say.js";
import { piecesIn, wholeUrl } from "/static/viewport.js";
import { byId } from "/static/words.js";

const SVG = "http://www.w3.org/2000/svg";
const [dialog, drawing, stage, sheet] = ["viewer", "drawing", "stage", "sheet"].map(byId);
const seen = piecesIn(byId("viewer-piece"));
let paths = [];
let at = 0;
let size = [1, 1]; // height, width
let shapes = { outline: [], look: [], ignore: [] };
let open = []; // corners of the shape being drawn
let cross = null; // where the keyboard is
let dirty = new Set();
let zoom = null; // screen pixels per pixel of the picture; null: all of it

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
  byId("viewer-picture").removeAttribute("src");
  byId("viewer-picture").alt = path;
  byId("draw-said").textContent = "";
  [open, cross, dirty, zoom] = [[], null, new Set(), null];
  shapes = { outline: [], look: [], ignore: [] };
  draw();
  const drawn = await get("/v1/studio/outline", { path });
  const region = await call("GET", `/v1/studio/regions/${encodeURIComponent(product())}`).catch((error) => { say(error.message); return null; });
  if (paths[at] !== path) return;
  size = drawn.size;
  byId("viewer-picture").src = wholeUrl(addresses());
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

function addresses() {
  const query = `path=${encodeURIComponent(paths[at])}&v=${state.pictures.find((p) => p.path === paths[at])?.v ?? ""}`;
  return { key: query, size, whole: `/v1/studio/picture?${query}`, piece: `/v1/studio/piece?${query}&` };
}

const fitting = () => Math.min((stage.clientWidth - 16) / size[1], (stage.clientHeight - 16) / size[0]);

function lay() {
  const factor = zoom ?? Math.max(fitting(), 40 / Math.max(...size));
  sheet.style.width = `${size[1] * factor}px`;
  sheet.style.height = `${size[0] * factor}px`;
  sheet.classList.toggle("sharp", factor >= 3);
  byId("viewer-zoom").textContent = zoom === null ? "fit" : `${Math.round(100 * factor)} %`;
  look();
}

function look() { // at what is in view, once it is known how large the picture is
  if (byId("viewer-picture").hasAttribute("src")) seen(addresses(), stage, sheet, zoom ?? fitting());
}

// The pixel under the pointer, or in the middle, stays where it is.
function setZoom(wanted, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const [before, least] = [zoom ?? fitting(), fitting()];
  const pixel = [(stage.scrollLeft + x - sheet.offsetLeft) / before, (stage.scrollTop + y - sheet.offsetTop) / before];
  zoom = wanted === null || wanted <= least ? null : Math.min(wanted, Math.max(8, least));
  draw();
  const factor = zoom ?? fitting();
  stage.scrollTo(pixel[0] * factor + sheet.offsetLeft - x, pixel[1] * factor + sheet.offsetTop - y);
}

function draw() {
  const [height, width] = size;
  lay();
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
let moved = null; // where the picture was taken hold of
const fingers = new Map(); // by their number, where each is
let spread = 0; // between two of them

const moves = (event) => event.button === 1 || byId("viewer-move").getAttribute("aria-pressed") === "true" || document.body.classList.contains("role-operator");

drawing.addEventListener("pointerdown", (event) => {
  if (event.pointerType === "touch") fingers.set(event.pointerId, [event.clientX, event.clientY]);
  if (fingers.size === 2) { // the second finger moves and zooms; the corner that the first has set goes
    if (pressed) { open.splice(open.length - 1 - strokes); draw(); }
    [pressed, moved, spread] = [false, null, apart()];
    return;
  }
  if (event.button > 1 || fingers.size > 2) return;
  event.preventDefault();
  drawing.setPointerCapture(event.pointerId);
  if (moves(event)) { moved = [event.clientX + stage.scrollLeft, event.clientY + stage.scrollTop]; return; }
  drawing.focus({ preventScroll: true });
  [pressed, strokes, cross] = [true, 0, null];
  corner(place(event));
});

function apart() {
  const [[x, y], [u, v]] = [...fingers.values()];
  return Math.hypot(x - u, y - v);
}

const middle = () => [0, 1].map((axis) => [...fingers.values()].reduce((sum, place) => sum + place[axis] / fingers.size, 0));

function pinch(event) {
  const before = middle();
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  const [now, box] = [middle(), stage.getBoundingClientRect()];
  stage.scrollBy(before[0] - now[0], before[1] - now[1]);
  const wide = apart();
  if (Math.abs(wide - spread) > 4) {
    setZoom(((zoom ?? fitting()) * wide) / spread, now[0] - box.left, now[1] - box.top);
    spread = wide;
  }
}

drawing.addEventListener("pointermove", (event) => {
  if (fingers.size === 2) { pinch(event); return; }
  if (moved) { stage.scrollTo(moved[0] - event.clientX, moved[1] - event.clientY); return; }
  if (!pressed || !open.length) return;
  const point = place(event);
  if (far(point, open.at(-1)) > reach()) { open.push(point); strokes += 1; draw(); }
});
drawing.addEventListener("pointerup", (event) => {
  fingers.delete(event.pointerId);
  if (pressed && strokes > 4) close(); // drawn in one go
  [pressed, moved] = [false, null];
});
drawing.addEventListener("pointercancel", (event) => { fingers.delete(event.pointerId); [pressed, moved] = [false, null]; });
drawing.addEventListener("dblclick", close);
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = stage.getBoundingClientRect();
  setZoom((zoom ?? fitting()) * 2 ** (-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
stage.addEventListener("scroll", look);

dialog.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select")) return;
  const step = (event.shiftKey ? 10 : 1) * Math.max(1, Math.round(size[1] / 200));
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (event.target === drawing && event.key in moves) {
    const [x, y] = cross ?? [size[1] / 2, size[0] / 2];
    const [dx, dy] = moves[event.key];
    cross = [Math.max(0, Math.min(size[1], x + dx)), Math.max(0, Math.min(size[0], y + dy))];
    draw();
    follow();
  } else if (event.target === drawing && event.key === " ") { cross ??= [size[1] / 2, size[0] / 2]; corner([...cross]); }
  else if (event.target === drawing && event.key === "Enter") close();
  else if (event.target === drawing && event.key === "Backspace") back();
  else if (event.key === "+" || event.key === "=") larger();
  else if (event.key === "-") smaller();
  else if (event.key === "0") setZoom(null);
  else if (event.key === "1") setZoom(1);
  else if (event.key === "ArrowLeft") go(-1);
  else if (event.key === "ArrowRight") go(1);
  else if (event.key.toLowerCase() === "g") markAs("good");
  else if (event.key.toLowerCase() === "d") markAs("defect");
  else return;
  event.preventDefault();
});

const larger = () => setZoom(1.4 * (zoom ?? fitting()));
const smaller = () => setZoom((zoom ?? fitting()) / 1.4);

// The cross stays in sight.
function follow() {
  const factor = zoom ?? fitting();
  const place = [cross[0] * factor + sheet.offsetLeft, cross[1] * factor + sheet.offsetTop];
  const into = (scroll, shown, where) => Math.min(where - 30, Math.max(where + 30 - shown, scroll));
  stage.scrollTo(into(stage.scrollLeft, stage.clientWidth, place[0]), into(stage.scrollTop, stage.clientHeight, place[1]));
}

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
byId("viewer-larger").addEventListener("click", larger);
byId("viewer-smaller").addEventListener("click", smaller);
byId("viewer-fit").addEventListener("click", () => setZoom(null));
byId("viewer-move").addEventListener("click", (event) => {
  const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
  event.currentTarget.setAttribute("aria-pressed", String(on));
  stage.classList.toggle("moving", on);
});
addEventListener("resize", () => { if (dialog.open) draw(); });
for (const input of document.querySelectorAll('[name="layer"]')) input.addEventListener("change", () => { open = []; draw(); });
