// The trend page: shares by day, how pictures look, and the line of evidence with its threshold.

import { get } from "./api.js";
import { changedPictures } from "./changed.js";
import { follow, listen } from "./events.js";
import "./login.js";
import { addSwitch } from "./switch.js";
import { byId, make, percent, several, time } from "./words.js";

const WIDE = 520;
const HIGH = 170;
const LEFT = 66;
const MEASURES = { brightness: 1, sharpness: 3, colour: 3 };
const DAYS = 30;

function svg(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

function chart(label, ...inside) {
  const frame = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "chart", role: "img", "aria-label": label });
  frame.append(...inside);
  return frame;
}

// The same words as `blemish trend` prints.
function odds(evidence) {
  if (evidence <= 0) return "none";
  return evidence < 6 ? `${Math.round(10 ** evidence).toLocaleString("en")} : 1` : `10^${evidence.toFixed(0)} : 1`;
}

function evidenceChart(product) {
  const line = product.line;
  const top = Math.max(product.threshold * 1.3, ...line.map(([, value]) => value));
  const low = Math.min(-1, ...line.map(([, value]) => value));
  const last = Math.max(1, line.at(-1)?.[0] ?? 1);
  const x = (part) => LEFT + ((WIDE - LEFT - 8) * part) / last;
  const y = (value) => 8 + ((HIGH - 32) * (top - value)) / (top - low);
  const parts = [
    svg("line", { class: "axis", x1: LEFT, x2: WIDE - 8, y1: y(0), y2: y(0) }),
    svg("text", { x: LEFT - 6, y: y(0) + 4, "text-anchor": "end" }, "1 : 1"),
    svg("line", { class: "threshold", x1: LEFT, x2: WIDE - 8, y1: y(product.threshold), y2: y(product.threshold) }),
    svg("text", { x: LEFT - 6, y: y(product.threshold) + 4, "text-anchor": "end" }, odds(product.threshold)),
    svg("polyline", { class: "line", points: line.map(([part, value]) => `${x(part).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }),
    svg("text", { x: LEFT, y: HIGH - 6 }, "part 1"),
    svg("text", { x: WIDE - 8, y: HIGH - 6, "text-anchor": "end" }, `part ${last.toLocaleString("en")}`),
  ];
  return chart(`Evidence of a change over ${several(product.parts, "part")}: now ${odds(product.evidence)}, at most ${odds(product.highest)}; it rings at ${odds(product.threshold)}`, ...parts);
}

function dayChart(days) {
  const most = Math.max(0.05, ...days.map((day) => (day.unsure + day.defect) / day.n));
  const step = (WIDE - LEFT - 8) / Math.max(7, days.length);
  const y = (share) => 8 + (HIGH - 32) * (1 - share / most);
  const bars = days.flatMap((day, at) => {
    const x = LEFT + at * step;
    const bad = day.defect / day.n;
    const both = bad + day.unsure / day.n;
    const bar = (kind, from, to) => svg("rect", { class: kind, x: x + step * 0.15, width: step * 0.7, y: y(to), height: Math.max(0, y(from) - y(to)) });
    return [bar("bar-defect", 0, bad), bar("bar-unsure", bad, both),
      ...(day.false_alarms ? [bar("false", 0, day.false_alarms / day.n)] : [])];
  });
  return chart(`Share stopped and unsure on ${several(days.length, "day")}`,
    svg("line", { class: "axis", x1: LEFT, x2: WIDE - 8, y1: y(0), y2: y(0) }),
    svg("text", { x: LEFT - 6, y: y(most) + 8, "text-anchor": "end" }, percent(most)),
    svg("text", { x: LEFT - 6, y: y(0) + 4, "text-anchor": "end" }, "0 %"),
    ...bars,
    svg("text", { x: LEFT, y: HIGH - 6 }, days[0].day),
    ...(days.length > 3 ? [svg("text", { x: LEFT + step * days.length, y: HIGH - 6, "text-anchor": "end" }, days.at(-1).day)] : []));
}

function table(head, rows) {
  const cells = (tag, row) => make("tr", "", ...row.map((cell) => make(tag, "", cell)));
  const scroll = make("div", "scroll", make("table", "", make("thead", "", cells("th", head)), make("tbody", "", ...rows.map((row) => cells("td", row)))));
  scroll.tabIndex = 0; // so that the keyboard reaches what is out of sight
  return scroll;
}

function stateOf(product) {
  if (!product) return make("p", "state few", "No limits, so that nothing is watched.");
  if (!product.watching) return make("p", "state few", `${several(product.parts, "part")} since ${time(product.since)}: too few to tell a change by. The first hundred stand for how it was.`);
  if (!product.rang) return make("p", "state", `No sign of a change in ${several(product.parts, "part")} since ${time(product.since)}.`);
  return make("p", "state rang", `This has changed: evidence of ${odds(product.highest)}, first beyond ${odds(product.threshold)} at part ${product.rang.part}, ${product.rang.name}. Look at the pictures before and after; then calibrate with good ones of now.`);
}

function card(name, product, days) {
  const body = make("section", "product", make("h2", "", name || "All pictures"), stateOf(product));
  const charts = make("div", "two");
  if (product?.watching) charts.append(make("div", "", make("h3", "", "Evidence of a change, since the limits in force"), evidenceChart(product)));
  if (days.length) charts.append(make("div", "", make("h3", "", "Stopped (red) and unsure (amber) by day; framed: marked good"), dayChart(days)));
  if (product?.changed) body.append(changedPictures(product));
  body.append(charts);
  if (days.length) {
    const now = days.at(-1);
    if (product) {
      const rows = Object.entries(MEASURES).map(([measure, digits]) => [
        measure, product.learned[measure]?.toFixed(digits) ?? "–", product.first[measure]?.toFixed(digits) ?? "–", now[measure].toFixed(digits),
        measure in product.by_measure ? odds(product.by_measure[measure]) : "–"]);
      rows.push(["score", "", "", "", "score" in product.by_measure ? odds(product.by_measure.score) : "–"]);
      body.append(table(["how pictures look", "learned", "first 100", now.day, "evidence by it alone"], rows));
    }
    body.append(make("details", "", make("summary", "", "Days as a table"),
      table(["day", "parts", "stopped", "unsure", "marked good, of these stopped"], days.toReversed().map((day) => [
        day.day, String(day.n), percent(day.defect / day.n), percent(day.unsure / day.n),
        `${day.marked_good}, ${day.false_alarms}`]))));
  }
  return body;
}

function share({ count, of, low, high }) {
  if (of === 0) return "–";
  const range = low === null ? "" : ` (${percent(low)} to ${percent(high)})`;
  return `${count} of ${of}${range}`;
}

function drawMarked(marked) {
  byId("marked").hidden = marked.length === 0;
  byId("marked-table").replaceChildren(table(["product", "marked defect, found", "marked good, stopped"],
    marked.map((one) => [one.product || "all", share(one.found), share(one.false_alarms)])));
}

async function look() {
  const [found, marked] = await Promise.all([get("v1/trend"), get("v1/marked")]);
  drawMarked(marked);
  byId("meaning").textContent = `Each alarm is false with a probability of at most ${percent(found.false_alarm_rate)}, however long it watches.`;
  const names = [...new Set([...found.products.map((p) => p.product ?? ""), ...found.days.map((day) => day.product)])].sort();
  byId("none").hidden = names.length > 0;
  const open = new Set([...document.querySelectorAll(".product details[open]")].map((d) => d.closest(".product").dataset.name));
  byId("products").replaceChildren(...names.map((name) => {
    const made = card(name, found.products.find((p) => (p.product ?? "") === name),
      found.days.filter((day) => day.product === name).slice(-DAYS));
    made.dataset.name = name;
    if (open.has(name)) made.querySelector("details").open = true;
    return made;
  }));
}

listen("hello", ({ live }) => { byId("live-link").hidden = !live; });
listen("alarm", ({ sentence }) => { byId("alarms").replaceChildren(make("p", "warn", sentence)); look(); });
listen("mark", look);
await addSwitch();
await look();
follow(["hello", "alarm", "mark"]);
setInterval(() => { if (!document.hidden) look().catch(() => {}); }, 5000);
document.documentElement.dataset.ready = "true";
