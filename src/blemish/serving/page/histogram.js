// The scores: pictures upwards in the colours of their verdicts, the good ones the limits are
// from downwards, and the limits themselves.

import { limitsOf, onChange, state } from "./state.js";
import { VERDICTS, byId, make, score, several, verdictWord } from "./words.js";

const [WIDTH, UP, DOWN, TOP] = [320, 110, 34, 30];
const BINS = 32;
const select = byId("shown-product");
let chosen = null;

function svg(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function productShown() {
  const names = [...new Set(state.pictures.map((p) => p.product ?? ""))];
  if (chosen !== null && names.includes(chosen)) return chosen;
  const count = (name) => state.pictures.filter((p) => (p.product ?? "") === name).length;
  if (names.length === 0) return state.model?.products[0] ?? "";
  return names.reduce((a, b) => (count(b) > count(a) ? b : a));
}

function drawSelect(product) {
  const names = [...new Set(state.pictures.map((p) => p.product ?? ""))].sort();
  select.hidden = names.length < 2;
  select.replaceChildren(...names.map((name) => new Option(name || "unknown product", name, false, name === product)));
}

function draw() {
  const product = productShown();
  drawSelect(product);
  const pictures = state.pictures.filter((p) => (p.product ?? "") === product);
  const limits = limitsOf(product || null);
  const groups = state.judgedBy?.good_scores ?? {};
  const good = (limits?.product ? groups[limits.product] : Object.values(groups).flat()) ?? [];
  const target = byId("histogram");
  const all = [...pictures.map((p) => p.score), ...good];
  if (all.length === 0) { target.replaceChildren(make("p", "dim", "No scores yet.")); return; }
  const low = Math.min(...all);
  // Defects can score far beyond the limits: the last bar takes all of those.
  const reach = limits ? limits.defect + 4 * (limits.defect - low) : Infinity;
  const highest = Math.max(...all, limits?.defect ?? -Infinity);
  const high = Math.min(highest, reach) || low + 1;
  const span = high > low ? high - low : 1;
  const bin = (value) => Math.min(BINS - 1, Math.max(0, Math.floor((BINS * (value - low)) / span)));
  const x = (value) => 4 + ((WIDTH - 8) * (Math.min(value, high) - low)) / span;
  const counts = Array.from({ length: BINS }, () => ({ defect: 0, unsure: 0, ok: 0, none: 0 }));
  for (const picture of pictures) counts[bin(picture.score)][picture.verdict ?? "none"] += 1;
  const goodCounts = new Array(BINS).fill(0);
  for (const value of good) goodCounts[bin(value)] += 1;
  const tallest = Math.max(1, ...counts.map((c) => c.defect + c.unsure + c.ok + c.none));
  const deepest = Math.max(1, ...goodCounts);
  const base = TOP + UP;
  const words = `${several(pictures.length, "picture")} here, ${several(good.length, "good picture")} behind the limits`;
  const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${base + DOWN + 18}`, role: "img", "aria-label": `Histogram of scores: ${words}` });
  const bars = svg("g", { class: "bars" });
  const width = (WIDTH - 8) / BINS;
  counts.forEach((count, index) => {
    let y = base;
    for (const verdict of ["ok", "unsure", "defect", "none"]) {
      if (!count[verdict]) continue;
      const height = Math.max(2, (UP * count[verdict]) / tallest);
      y -= height;
      const bar = svg("rect", { x: 4 + index * width + 0.5, y, width: width - 1, height, class: verdict === "none" ? "good-bar" : verdict });
      bar.append(svg("title", {}, `${several(count[verdict], "picture")}: ${verdictWord(verdict)}`));
      bars.append(bar);
    }
    if (goodCounts[index]) {
      const height = Math.max(2, (DOWN * goodCounts[index]) / deepest);
      const bar = svg("rect", { x: 4 + index * width + 0.5, y: base + 1, width: width - 1, height, class: "good-bar" });
      bar.append(svg("title", {}, `${several(goodCounts[index], "good picture")} behind the limits`));
      bars.append(bar);
    }
  });
  plot.append(bars, svg("line", { x1: 0, x2: WIDTH, y1: base + 0.5, y2: base + 0.5, class: "axis" }));
  if (limits) {
    const same = limits.unsure === limits.defect;
    for (const [kind, y] of [["defect", 11], ...(same ? [] : [["unsure", 24]])]) {
      const at = x(limits[kind]);
      plot.append(svg("line", { x1: at, x2: at, y1: y + 3, y2: base + DOWN, class: `limit ${kind}` }));
      const left = at > (kind === "unsure" ? 112 : WIDTH / 2);
      plot.append(svg("text", { x: left ? at - 4 : at + 4, y: y + 3, "text-anchor": left ? "end" : "start", class: kind, "data-limit": String(limits[kind]) }, `${kind} above ${score(limits[kind])}`));
    }
  }
  const bottom = base + DOWN + 14;
  plot.append(svg("text", { x: 2, y: bottom }, score(low)));
  plot.append(svg("text", { x: WIDTH - 2, y: bottom, "text-anchor": "end" }, highest > high ? `${score(high)} and more` : score(high)));
  const legend = make("p", "legend", ...VERDICTS.filter((v) => pictures.some((p) => p.verdict === v)).map((v) => make("span", "", make("span", `dot ${v}`), verdictWord(v))),
    make("span", "", make("span", "dot"), `below: ${several(good.length, "good picture")} behind the limits`));
  target.replaceChildren(plot, legend);
}

select.addEventListener("change", () => { chosen = select.value; draw(); });
onChange(draw);
