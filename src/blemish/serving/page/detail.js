// One picture, large: heat, regions, zoom at source size, marks.

import { call, get } from "./api.js";
import { focus, onOpen, toggleMark } from "./grid.js";
import { UNKNOWN, changed, heatUrl, limitsOf, onChange, refresh, shown, state } from "./state.js";
import { piecesIn, wholeUrl } from "./viewport.js";
import { byId, make, oneIn, score, several, time, times, verdictWord } from "./words.js";

const dialog = byId("detail");
const stage = byId("stage");
const canvas = byId("canvas");
let current = null; // the picture's row in the history
let order = []; // ids in the order they had when the first was opened
let zoom = null; // screen pixels per source pixel; null: fit
const seen = piecesIn(byId("detail-piece"));
const addresses = ({ id, size }) => ({ key: id, size, whole: `v1/pictures/${id}/source`, piece: `v1/pictures/${id}/piece?` });

function show(id) {
  current = state.pictures.find((p) => p.id === id);
  if (!current) return;
  if (!dialog.open) { order = shown().map((p) => p.id); dialog.showModal(); }
  byId("detail-source").src = wholeUrl(addresses(current));
  byId("detail-source").alt = current.name;
  byId("detail-boxes").replaceChildren();
  byId("detail-regions").hidden = true;
  byId("detail-hint").hidden = true;
  zoom = null;
  draw();
  lay();
  more();
}

function draw() {
  if (!current || !dialog.open) return;
  current = state.pictures.find((p) => p.id === current.id) ?? current;
  const picture = current;
  const badge = byId("detail-verdict");
  badge.className = `badge ${picture.verdict ?? ""}`;
  badge.replaceChildren(make("span", `dot ${picture.verdict ?? ""}`), verdictWord(picture.verdict));
  byId("detail-name").textContent = picture.name;
  byId("detail-meaning").textContent = picture.p_value === null
    ? "The model has no limits yet: mark good pictures and recalibrate."
    : meaning(picture);
  const rows = [
    ["score", score(picture.score)],
    ["p-value", picture.p_value === null ? "–" : picture.p_value.toPrecision(3)],
    ["beyond", picture.times_limit === null ? "–" : times(picture.times_limit)],
    ["size", `${picture.size[1]} × ${picture.size[0]}`],
    ["judged", time(picture.judged)],
  ];
  if (picture.product && state.model.products.length < 2) rows.splice(3, 0, ["product", picture.product]);
  drawProduct(picture);
  drawRemark(picture);
  if (picture.verdict_then !== picture.verdict) rows.push(["was then", verdictWord(picture.verdict_then)]);
  byId("detail-list").replaceChildren(...rows.flatMap(([term, text]) => [make("dt", "", term), make("dd", "", text)]));
  byId("detail-good").setAttribute("aria-pressed", String(picture.mark === "good"));
  byId("detail-defect").setAttribute("aria-pressed", String(picture.mark === "defect"));
  const heat = byId("detail-heat");
  const url = heatUrl(picture);
  heat.hidden = !state.heat || !url;
  if (url && heat.getAttribute("src") !== url) heat.src = url;
  byId("detail-heat-on").checked = state.heat;
  byId("detail-opacity").value = String(100 * state.opacity);
  byId("detail-boxes").hidden = !byId("detail-boxes-on").checked;
  const at = order.indexOf(picture.id);
  byId("detail-before").disabled = at <= 0;
  byId("detail-next").disabled = at < 0 || at >= order.length - 1;
}

function drawRemark(picture) {
  for (const [id, text] of [["detail-kind", picture.kind], ["detail-note", picture.note]]) {
    if (document.activeElement !== byId(id)) byId(id).value = text; // who is writing writes on
  }
  const kinds = [...new Set(state.pictures.map((p) => p.kind).filter(Boolean))].sort();
  byId("kinds").replaceChildren(...kinds.map((kind) => new Option(kind, kind)));
}

async function remark() {
  const json = { kind: byId("detail-kind").value, note: byId("detail-note").value };
  const answer = await call("PUT", `v1/pictures/${current.id}/remark`, { json });
  Object.assign(state.pictures.find((p) => p.id === answer.id) ?? {}, { kind: answer.kind, note: answer.note });
}

function drawProduct(picture) {
  const { products } = state.model;
  byId("detail-product-field").hidden = products.length < 2;
  const seen = picture.recognised ? `from the picture: ${picture.recognised}` : "not known: all products together";
  const wanted = [["", seen], ...products.map((product) => [product, product])];
  const select = byId("detail-product");
  if (JSON.stringify(wanted) !== select.dataset.options) {
    select.replaceChildren(...wanted.map(([value, text]) => new Option(text, value)));
    select.dataset.options = JSON.stringify(wanted);
  }
  select.value = picture.named ? picture.product : "";
  const note = productNote(picture);
  byId("detail-product-note").hidden = !note;
  byId("detail-product-note").textContent = note;
}

function productNote({ product, recognised, rival, named, pose }) {
  if (pose?.fault) return pose.fault;
  if (named && recognised && recognised !== product) return `It looks like ${recognised}. Its score is as the model measured it; the limits are those of ${product}.`;
  if (product === UNKNOWN) return "It shows none of the products the model knows. Say it here if it does.";
  if (rival) return `It may show ${rival} as well: the stricter limits of both judge. Say which it is.`;
  return "";
}

async function correct(product) {
  const { id } = current;
  await call("PUT", `v1/pictures/${id}/product`, { json: { product: product || null } });
  await refresh();
  if (current?.id === id) more();
}

function meaning(picture) {
  const count = limitsOf(picture.product)?.n ?? 0;
  // The smallest p-value there is: how far beyond says more.
  if (picture.p_value * (count + 1) < 1.5) {
    const far = picture.times_limit > 1 ? `, at ${times(picture.times_limit)}` : "";
    return `Odder than all ${several(count, "good picture")} behind the limits${far}.`;
  }
  if (picture.p_value > 0.5) return "Most good parts look odder than this one.";
  return `About ${oneIn(picture.p_value)} good parts looks this odd.`;
}

async function more() {
  const { id } = current;
  const rate = state.judgedBy?.preview ? state.judgedBy.false_alarm_rate : null;
  const detail = await get(`v1/pictures/${id}`, { false_alarm_rate: rate }).catch(() => null);
  if (!detail || current?.id !== id) return;
  const [height, width] = detail.size;
  const frames = [...detail.regions.map(({ box }) => [box, ""]), ...(detail.explanation ? [[detail.explanation.box, "hint"]] : [])];
  byId("detail-boxes").replaceChildren(...frames.map(([box, kind]) => {
    const frame = make("span", kind);
    frame.style.left = `${(100 * box[0]) / width}%`;
    frame.style.top = `${(100 * box[1]) / height}%`;
    frame.style.width = `${(100 * (box[2] - box[0])) / width}%`;
    frame.style.height = `${(100 * (box[3] - box[1])) / height}%`;
    return frame;
  }));
  const regions = byId("detail-regions");
  regions.hidden = detail.regions.length === 0;
  regions.querySelector("summary").textContent = several(detail.regions.length, "region");
  regions.querySelector("ol").replaceChildren(...detail.regions.map((region, index) => {
    const button = make("button", "plain",
      make("span", "", `${region.box[2] - region.box[0]} × ${region.box[3] - region.box[1]} at ${region.box[0]}, ${region.box[1]}`),
      make("span", "", region.times_limit === null ? `peak ${score(region.peak)}` : times(region.times_limit)));
    button.type = "button";
    button.addEventListener("click", () => pick(index, region.box));
    return make("li", "", button);
  }));
  byId("detail-hint").hidden = !detail.explanation;
  byId("detail-hint").textContent = detail.explanation?.sentence ?? "";
  const branches = Object.entries(detail.branches).flatMap(([name, branch]) => [
    make("dt", "", name),
    make("dd", "", [branch.score === null ? "–" : score(branch.score), branch.times_limit !== null && times(branch.times_limit), branch.verdict && verdictWord(branch.verdict)].filter(Boolean).join(" · ")),
  ]);
  byId("detail-list").append(...branches);
}

function pick(index, box) {
  [...byId("detail-boxes").children].forEach((frame, at) => frame.classList.toggle("picked", at === index));
  const size = Math.max(box[2] - box[0], box[3] - box[1]);
  setZoom(Math.min(8, Math.max(fitting(), Math.min(stage.clientWidth, stage.clientHeight) / (3 * size))));
  const factor = zoom ?? fitting();
  stage.scrollTo({
    left: ((box[0] + box[2]) / 2) * factor - stage.clientWidth / 2,
    top: ((box[1] + box[3]) / 2) * factor - stage.clientHeight / 2,
  });
}

const fitting = () => Math.min(
  (stage.clientWidth - 16) / current.size[1], (stage.clientHeight - 16) / current.size[0]);

function lay() {
  if (!current || !dialog.open) return;
  const factor = zoom ?? fitting();
  canvas.style.width = `${current.size[1] * factor}px`;
  canvas.style.height = `${current.size[0] * factor}px`;
  canvas.classList.toggle("sharp", factor >= 3);
  byId("zoom-value").textContent = zoom === null ? "fit" : `${Math.round(100 * factor)} %`;
  seen(addresses(current), stage, canvas, factor);
}

// The source pixel under the pointer, or in the middle, stays where it is.
function setZoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const before = zoom ?? fitting();
  const at = [stage.scrollLeft + x - canvas.offsetLeft, stage.scrollTop + y - canvas.offsetTop];
  zoom = factor === null ? null : Math.min(16, Math.max(0.05, factor));
  lay();
  const ratio = (zoom ?? fitting()) / before;
  stage.scrollLeft = canvas.offsetLeft + at[0] * ratio - x;
  stage.scrollTop = canvas.offsetTop + at[1] * ratio - y;
}

function step(by) {
  const next = order[order.indexOf(current.id) + by];
  if (next !== undefined) show(next);
}

async function mark(kind) {
  await toggleMark(current.id, kind);
  draw();
}

async function remove() {
  const at = order.indexOf(current.id);
  await call("POST", "v1/history/remove", { json: { ids: [current.id] } });
  order = order.filter((id) => id !== current.id);
  await refresh();
  const next = order[Math.min(at, order.length - 1)];
  if (next === undefined) dialog.close();
  else show(next);
}

const setHeat = (on) => { state.heat = on; changed(); };
const larger = () => setZoom(1.4 * (zoom ?? fitting()));
const smaller = () => setZoom((zoom ?? fitting()) / 1.4);
byId("detail-close").addEventListener("click", () => dialog.close());
byId("detail-good").addEventListener("click", () => mark("good"));
byId("detail-defect").addEventListener("click", () => mark("defect"));
byId("detail-before").addEventListener("click", () => step(-1));
byId("detail-next").addEventListener("click", () => step(1));
byId("detail-remove").addEventListener("click", remove);
byId("detail-product").addEventListener("change", (event) => correct(event.target.value));
for (const id of ["detail-kind", "detail-note"]) byId(id).addEventListener("change", remark);
byId("detail-heat-on").addEventListener("change", (event) => setHeat(event.target.checked));
byId("detail-boxes-on").addEventListener("change", draw);
byId("detail-opacity").addEventListener("input", (event) => { state.opacity = event.target.value / 100; changed(); });
byId("zoom-in").addEventListener("click", larger);
byId("zoom-out").addEventListener("click", smaller);
byId("zoom-fit").addEventListener("click", () => setZoom(null));
byId("zoom-source").addEventListener("click", () => setZoom(1));
dialog.addEventListener("close", () => { const id = current?.id; current = null; if (id) focus(id); });

const KEYS = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), "+": larger, "=": larger, "-": smaller,
  0: () => setZoom(null), 1: () => setZoom(1), g: () => mark("good"), d: () => mark("defect"),
  h: () => setHeat(!state.heat), r: () => byId("detail-boxes-on").click(),
};
dialog.addEventListener("keydown", (event) => {
  const adjusts = event.target.matches('input[type="range"]') && event.key.startsWith("Arrow");
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const chooses = event.target.matches('select, input[type="text"]'); // by the arrows, or a product's first letter
  if (!action || adjusts || chooses || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  action();
});

stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const place = stage.getBoundingClientRect();
  setZoom((zoom ?? fitting()) * 2 ** (-event.deltaY / 300), event.clientX - place.left, event.clientY - place.top);
}, { passive: false });
stage.addEventListener("dblclick", () => setZoom(zoom === null ? 1 : null));
let dragged = null;
stage.addEventListener("pointerdown", (event) => {
  if (event.pointerType === "mouse") dragged = [event.clientX + stage.scrollLeft, event.clientY + stage.scrollTop];
});
addEventListener("pointermove", (event) => {
  if (!dragged) return;
  stage.scrollLeft = dragged[0] - event.clientX;
  stage.scrollTop = dragged[1] - event.clientY;
});
addEventListener("pointerup", () => { dragged = null; });
canvas.addEventListener("dragstart", (event) => event.preventDefault());
addEventListener("resize", lay);
stage.addEventListener("scroll", () => { if (current) seen(addresses(current), stage, canvas, zoom ?? fitting()); });

onOpen(show);
let judged = "";
onChange(() => {
  draw();
  const now = `${state.calibration?.version} ${state.judgedBy?.false_alarm_rate}`;
  if (current && now !== judged) more();
  judged = now;
});
