// The tiles: filters, order, marks, and moving among them by keyboard.

import { call } from "./api.js";
import { FILTERS, heatUrl, onChange, shown, state, changed } from "./state.js";
import { byId, make, score, verdictWord } from "./words.js";

const grid = byId("grid");
const tiles = new Map(); // id of the picture -> its tile
let open = () => {};
export const onOpen = (listener) => { open = listener; };

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) load(entry.target);
}, { rootMargin: "400px" });

function load(item) {
  const [picture, heat] = item.querySelectorAll("img");
  if (!picture.src) picture.src = `v1/pictures/${item.dataset.id}/thumbnail`;
  const wanted = item.dataset.heat;
  if (wanted && state.heat && heat.dataset.of !== wanted) {
    heat.dataset.of = wanted;
    heat.src = wanted;
  }
}

function build(picture) {
  const image = make("img");
  image.alt = "";
  image.decoding = "async";
  const heat = make("img", "heat");
  heat.alt = "";
  heat.addEventListener("load", () => { heat.hidden = false; });
  heat.addEventListener("error", () => { heat.hidden = true; });
  heat.hidden = true;
  const both = make("span", "", image, heat);
  const [height, width] = picture.size;
  both.style.aspectRatio = `${width} / ${height}`;
  both.style[width >= height ? "width" : "height"] = "100%";
  const opener = make("button", "open", make("span", "layers", both));
  opener.type = "button";
  opener.addEventListener("click", () => open(picture.id));
  const good = markButton("good", "✓", picture.id);
  const bad = markButton("defect", "✕", picture.id);
  const says = make("div", "says", make("span", "verdict"), make("span", "score"), make("span", "name"));
  const item = make("li", "tile", opener, says, make("div", "marks", good, bad));
  item.dataset.id = picture.id;
  item.addEventListener("focusin", () => rove(item));
  near.observe(item);
  return item;
}

function markButton(mark, sign, id) {
  const button = make("button", mark === "good" ? "good" : "bad", sign);
  button.type = "button";
  button.title = `Mark as ${mark}`;
  button.addEventListener("click", () => toggleMark(id, mark));
  return button;
}

const drawn = new WeakMap(); // tile -> what it says: of thousands only those that change are touched

function update(item, picture) {
  const now = JSON.stringify([picture, heatUrl(picture)]);
  if (drawn.get(item) === now) return;
  drawn.set(item, now);
  item.className = `tile ${picture.verdict ?? ""}`;
  const [verdict, number, name] = item.querySelector(".says").children;
  // The verdict is the whole score's; a branch beyond its own limit must be seen all the same.
  const objects = picture.verdict === "ok" && picture.objecting.length > 0 ? ` (${picture.objecting.join(", ")}: defect)` : "";
  verdict.replaceChildren(make("span", `dot ${picture.verdict ?? ""}`), verdictWord(picture.verdict) + objects);
  number.textContent = score(picture.score);
  name.replaceChildren(make("bdi", "", picture.name));
  name.title = picture.name;
  const marked = picture.mark ? `, marked ${picture.mark}` : "";
  item.querySelector(".open").setAttribute("aria-label",
    `${picture.name}: ${verdictWord(picture.verdict)}${objects}, score ${score(picture.score)}${marked}. Open`);
  for (const [kind, mark] of [["good", "good"], ["bad", "defect"]]) {
    const button = item.querySelector(`.marks .${kind}`);
    button.setAttribute("aria-pressed", String(picture.mark === mark));
    button.setAttribute("aria-label", `Mark ${picture.name} as ${mark}`);
  }
  const url = heatUrl(picture);
  if (item.dataset.heat !== url) {
    item.dataset.heat = url ?? "";
    near.unobserve(item); // and ask anew whether it is in sight
    near.observe(item);
  }
}

function draw() {
  const wanted = shown();
  const keep = new Set(wanted.map((p) => p.id));
  const focused = document.activeElement?.closest?.(".tile")?.dataset.id;
  for (const [id, item] of tiles) {
    if (!keep.has(id)) { near.unobserve(item); item.remove(); tiles.delete(id); }
  }
  wanted.forEach((picture, index) => {
    let item = tiles.get(picture.id);
    if (!item) { item = build(picture); tiles.set(picture.id, item); }
    update(item, picture);
    if (grid.children[index] !== item) grid.insertBefore(item, grid.children[index] ?? null);
  });
  if (focused && tiles.has(Number(focused))) focus(Number(focused), { scroll: false });
  else rove(grid.firstElementChild);
  const any = state.pictures.length > 0;
  byId("empty").hidden = any;
  byId("foot").hidden = !any;
  byId("filters").hidden = !any;
  byId("nothing").hidden = !any || wanted.length > 0;
  drawFilters();
}

function drawFilters() {
  const bar = byId("filters");
  const before = document.activeElement?.dataset?.filter;
  bar.replaceChildren(...Object.entries(FILTERS).map(([name, fits]) => {
    const count = state.pictures.filter(fits).length;
    const word = ["defect", "unsure", "ok"].includes(name) ? verdictWord(name) : name[0].toUpperCase() + name.slice(1);
    const button = make("button", "", ...(word !== name && name in { defect: 1, unsure: 1, ok: 1 } ? [make("span", `dot ${name}`)] : []), word, make("b", "", String(count)));
    button.type = "button";
    button.dataset.filter = name;
    button.hidden = count === 0 && !["all", "defect", "unsure", "ok"].includes(name) && state.filter !== name;
    button.setAttribute("aria-pressed", String(state.filter === name));
    button.addEventListener("click", () => { state.filter = name; changed(); });
    return button;
  }));
  if (before) bar.querySelector(`[data-filter="${before}"]`)?.focus();
}

// Only the current tile is a stop of the Tab key: a hundred pictures are not three hundred stops.
function rove(item) {
  for (const other of grid.querySelectorAll('[tabindex="0"]')) {
    if (!item?.contains(other)) other.tabIndex = -1;
  }
  for (const button of item?.querySelectorAll("button") ?? []) button.tabIndex = 0;
}

export function focus(id, { scroll = true } = {}) {
  const item = tiles.get(id);
  if (!item) return;
  rove(item);
  item.querySelector(".open").focus({ preventScroll: !scroll });
}

export async function toggleMark(id, mark) {
  const picture = state.pictures.find((p) => p.id === id);
  if (!picture) return;
  const wanted = picture.mark === mark ? null : mark;
  const answer = await call("PUT", `v1/pictures/${id}/mark`, { json: { mark: wanted } });
  picture.mark = answer.mark;
  changed();
}

grid.addEventListener("keydown", (event) => {
  const item = event.target.closest(".tile");
  if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = [...grid.children];
  const at = all.indexOf(item);
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  let target = null;
  if (event.key in steps) target = all[at + steps[event.key]];
  else if (event.key === "Home") target = all[0];
  else if (event.key === "End") target = all.at(-1);
  else if (event.key.toLowerCase() === "g") toggleMark(Number(item.dataset.id), "good");
  else if (event.key.toLowerCase() === "d") toggleMark(Number(item.dataset.id), "defect");
  else return;
  event.preventDefault();
  if (target) focus(Number(target.dataset.id));
});

onChange(() => {
  document.documentElement.classList.toggle("no-heat", !state.heat);
  document.documentElement.style.setProperty("--opacity", String(state.opacity));
  draw();
});
