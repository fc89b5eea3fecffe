// What the page knows, and who wants to hear of changes.

import { get } from "./api.js";

export const state = {
  model: null,
  calibration: null, // in force
  judgedBy: null, // in force, or the rate being looked at
  pictures: [],
  deciding: false, // a change of limits by this page is on its way
  rate: null, // being looked at; null: the one in force
  heat: true,
  opacity: 0.65,
  filter: "all",
  order: "worst",
};

const listeners = new Set();
export const onChange = (listener) => listeners.add(listener);
export const changed = () => listeners.forEach((listener) => listener());

let latest = 0;
export async function refresh() {
  const turn = ++latest;
  const history = await get("v1/history", { false_alarm_rate: state.rate });
  if (turn !== latest) return; // a later question is on its way
  state.calibration = history.calibration;
  state.judgedBy = history.judged_by;
  state.pictures = history.pictures;
  changed();
}

export function limitsOf(product) {
  const limits = state.judgedBy?.limits ?? [];
  return limits.find((l) => l.product === product) ?? limits.find((l) => l.product === null) ?? limits[0];
}

const SEVERITY = { defect: 0, unsure: 1, ok: 2 };
const ORDERS = {
  // Scores of two products do not compare; verdicts, p-values and times the limit do.
  worst: (a, b) => (SEVERITY[a.verdict] ?? 3) - (SEVERITY[b.verdict] ?? 3)
    || (b.times_limit ?? -Infinity) - (a.times_limit ?? -Infinity) || (a.p_value ?? 1) - (b.p_value ?? 1) || b.score - a.score || a.id - b.id,
  newest: (a, b) => b.judged.localeCompare(a.judged) || b.id - a.id,
  name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }) || a.id - b.id,
};
export const UNKNOWN = "unknown product"; // shows none of those the model knows
export const FILTERS = {
  all: () => true,
  defect: (p) => p.verdict === "defect",
  unsure: (p) => p.verdict === "unsure",
  ok: (p) => p.verdict === "ok",
  "unknown product": (p) => p.product === UNKNOWN,
  "marked good": (p) => p.mark === "good",
  "marked defect": (p) => p.mark === "defect",
};

export const shown = () => state.pictures.filter(FILTERS[state.filter]).sort(ORDERS[state.order]);

// Colours depend on the limits: another version, product or rate is another picture.
export function heatUrl(picture) {
  if (!state.judgedBy) return null;
  const rate = state.judgedBy.preview ? `&false_alarm_rate=${state.judgedBy.false_alarm_rate}` : "";
  const product = encodeURIComponent(picture.product ?? "");
  return `v1/pictures/${picture.id}/heat?v=${state.calibration.version}&of=${product}${rate}`;
}
