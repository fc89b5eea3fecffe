// The pictures of the project: a grid that draws only what is seen, filters, marks.

import { call, get } from "/static/api.js";
import { say } from "/static/say.js";
import "/static/intake.js";
import { openTeach } from "/static/teach.js";
import { openViewer } from "/static/viewer.js";
import { byId, make, several } from "/static/words.js";

const GAP = 10;
const ROLES = ["all", "good", "defect", "unsorted", "left out"];
const WORDS = { good: "good", defect: "defect", unsorted: "to be sorted" };
export const state = { pictures: [], products: [], regions: [], role: "all", product: "" };
let shown = [];
const selected = new Set();
let current = 0; // index of the one that has the focus
let anchor = 0;
const grid = byId("grid");
const tiles = new Map();

export const smallUrl = (path, v = "") => `/v1/studio/thumbnail?path=${encodeURIComponent(path)}&v=${v}`;

function parsed([path, out, outlined, v]) {
  const parts = path.split("/");
  return { path, out, outlined, v, product: parts[0], role: parts[1], kind: parts.length > 3 ? parts[2] : "", name: parts.at(-1) };
}

let turn = 0;
export async function refreshPictures() {
  const mine = ++turn;
  const found = await get("/v1/studio/pictures");
  if (mine !== turn) return;
  state.pictures = found.pictures.map(parsed);
  state.products = found.products;
  state.regions = found.regions;
  const there = new Set(state.pictures.map((p) => p.path));
  for (const path of selected) if (!there.has(path)) selected.delete(path);
  draw();
}

const fits = (p, role) => role === "all" || (role === "left out" ? p.out : p.role === role);

function draw() {
  const ofProduct = state.pictures.filter((p) => !state.product || p.product === state.product);
  shown = ofProduct.filter((p) => fits(p, state.role));
  current = Math.min(current, Math.max(0, shown.length - 1));
  byId("roles").replaceChildren(...ROLES.map((role) => {
    const count = ofProduct.filter((p) => fits(p, role)).length;
    const button = make("button", "", ...(WORDS[role] ? [make("span", `dot ${role}`)] : []), WORDS[role] ?? role, make("b", "", String(count)));
    button.type = "button";
    button.setAttribute("aria-pressed", String(state.role === role));
    button.addEventListener("click", () => { state.role = role; current = 0; draw(); byId("roles").children[ROLES.indexOf(role)].focus(); });
    return button;
  }));
  byId("product-field").hidden = state.products.length < 2;
  byId("product").replaceChildren(new Option("all products", ""), ...state.products.map((p) => new Option(p, p, false, p === state.product)));
  byId("products").replaceChildren(...state.products.map((p) => new Option(p)));
  byId("kinds").replaceChildren(...[...new Set(state.pictures.map((p) => p.kind).filter(Boolean))].map((k) => new Option(k)));
  byId("empty").hidden = state.pictures.length > 0;
  byId("check").hidden = state.pictures.length === 0;
  grid.hidden = state.pictures.length === 0;
  for (const tile of tiles.values()) tile.remove();
  tiles.clear();
  lay();
  drawChosen();
}

// Where things stand follows from the width alone, so that what is not seen costs nothing.
function measures() {
  const width = grid.clientWidth || 300;
  const columns = Math.max(2, Math.floor((width + GAP) / (158 + GAP)));
  const side = Math.floor((width - GAP * (columns - 1)) / columns);
  return { columns, side, height: side + 46 };
}

function lay() {
  if (grid.closest(".page").hidden) return;
  const { columns, side, height } = measures();
  grid.style.height = `${Math.ceil(shown.length / columns) * (height + GAP)}px`;
  const top = -grid.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor((top - 400) / (height + GAP)) * columns);
  const last = Math.min(shown.length, Math.ceil((top + innerHeight + 400) / (height + GAP)) * columns);
  for (const [index, tile] of tiles) {
    if ((index < first || index >= last) && tile !== document.activeElement) { tile.remove(); tiles.delete(index); }
  }
  for (let index = first; index < last; index += 1) {
    if (!tiles.has(index)) {
      const tile = makeTile(index);
      tiles.set(index, tile);
      grid.append(tile);
    }
    const { style } = tiles.get(index);
    style.width = `${side}px`;
    style.height = `${height}px`;
    style.transform = `translate(${(index % columns) * (side + GAP)}px, ${Math.floor(index / columns) * (height + GAP)}px)`;
  }
}

function makeTile(index) {
  const p = shown[index];
  const image = make("img");
  image.src = smallUrl(p.path, p.v);
  image.alt = "";
  image.draggable = false;
  const word = p.out ? "left out" : p.kind || WORDS[p.role];
  const tile = make("div", `thumb ${p.role}${p.out ? " out" : ""}`, image, make("div", "says", make("b", "", word + (p.outlined ? ", outlined" : "")), make("span", "", state.products.length > 1 && !state.product ? `${p.product} · ${p.name}` : p.name)));
  tile.setAttribute("role", "option");
  tile.setAttribute("aria-selected", String(selected.has(p.path)));
  tile.setAttribute("aria-posinset", String(index + 1));
  tile.setAttribute("aria-setsize", String(shown.length));
  tile.tabIndex = index === current ? 0 : -1;
  tile.dataset.path = p.path;
  tile.addEventListener("click", (event) => choose(index, event.shiftKey));
  tile.addEventListener("dblclick", () => view(index));
  tile.addEventListener("focus", () => { move(index, false); });
  return tile;
}

function choose(index, range) {
  if (range) {
    const [from, to] = [anchor, index].sort((a, b) => a - b);
    for (let at = from; at <= to; at += 1) selected.add(shown[at].path);
  } else {
    const { path } = shown[index];
    if (!selected.delete(path)) selected.add(path);
    anchor = index;
  }
  move(index, false);
  for (const [at, tile] of tiles) tile.setAttribute("aria-selected", String(selected.has(shown[at].path)));
  drawChosen();
}

function move(index, focus = true) {
  if (index < 0 || index >= shown.length) return;
  if (tiles.has(current)) tiles.get(current).tabIndex = -1;
  current = index;
  if (focus) {
    const { columns, height } = measures();
    const y = grid.getBoundingClientRect().top + scrollY + Math.floor(index / columns) * (height + GAP);
    if (y < scrollY + 120) scrollTo(0, y - 120);
    else if (y + height > scrollY + innerHeight - 90) scrollTo(0, y + height - innerHeight + 90);
    lay();
  }
  const tile = tiles.get(index);
  if (tile) { tile.tabIndex = 0; if (focus) tile.focus({ preventScroll: true }); }
}

function drawChosen() {
  byId("chosen").hidden = selected.size === 0;
  byId("chosen-count").textContent = `${selected.size} selected`;
}

const wanted = () => (selected.size ? [...selected] : shown[current] ? [shown[current].path] : []);

export async function mark(paths, as, kind = "") {
  if (!paths.length) return [];
  const all = paths.every((path) => state.pictures.find((p) => p.path === path)?.out);
  const what = as === "leave_out" && all ? "take_back" : as;
  const answer = await call("PUT", "/v1/studio/marks", { json: { paths, mark: what, kind } });
  selected.clear();
  await refreshPictures();
  const words = { take_back: "taken back into learning", leave_out: "left out of learning" };
  say(`${several(paths.length, "picture")} ${words[what] ?? `marked ${WORDS[as]}`}.`);
  return answer.paths;
}

function view(index) {
  openViewer(shown.map((p) => p.path), index);
}

byId("chosen").addEventListener("click", async (event) => {
  const as = event.target.closest("[data-mark]")?.dataset.mark;
  if (as) await mark(wanted(), as, as === "defect" ? byId("kind").value.trim() : "");
});
byId("chosen-product").addEventListener("change", async (event) => {
  const product = event.target.value.trim();
  event.target.value = "";
  if (!product) return;
  const { paths } = await call("PUT", "/v1/studio/product", { json: { paths: [...selected], product } });
  selected.clear();
  await refreshPictures();
  say(`${several(paths.length, "picture")} shown to be of ${product}.`);
});
byId("open").addEventListener("click", () => openViewer([...selected], 0));
byId("clear").addEventListener("click", () => { selected.clear(); draw(); });
byId("teach").addEventListener("click", () => openTeach(state.pictures.filter((p) => selected.has(p.path)), state.regions));
byId("remove").addEventListener("click", async () => {
  if (!confirm(`Move ${several(selected.size, "picture")} out of the project? They are kept in its folder removed/.`)) return;
  await call("POST", "/v1/studio/pictures/remove", { json: { paths: [...selected] } });
  selected.clear();
  await refreshPictures();
});
byId("product").addEventListener("change", (event) => { state.product = event.target.value; current = 0; draw(); });

const KEYS = { g: "good", d: "defect", u: "unsorted", l: "leave_out" };
grid.addEventListener("keydown", async (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) {
    if (event.key.toLowerCase() === "a") { event.preventDefault(); for (const p of shown) selected.add(p.path); draw(); move(current); }
    return;
  }
  const { columns } = measures();
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  if (event.key in steps) {
    const to = Math.max(0, Math.min(shown.length - 1, current + steps[event.key]));
    move(to);
    if (event.shiftKey) choose(to, true);
  } else if (event.key === "Home") move(0);
  else if (event.key === "End") move(shown.length - 1);
  else if (event.key === " ") choose(current, event.shiftKey);
  else if (event.key === "Enter") view(current);
  else if (event.key === "Escape") { selected.clear(); draw(); move(current); }
  else if (event.key.toLowerCase() in KEYS) {
    await mark(wanted(), KEYS[event.key.toLowerCase()]);
    move(Math.min(current, shown.length - 1));
  } else return;
  event.preventDefault();
});

let due = false;
function soon() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; lay(); });
}
addEventListener("scroll", soon, { passive: true });
addEventListener("resize", soon);
