// How numbers and verdicts are said.

export const VERDICTS = ["defect", "unsure", "ok"];
const WORDS = { defect: "Defect", unsure: "Unsure", ok: "OK" };

export const verdictWord = (verdict) => WORDS[verdict] ?? "No limits";

export function percent(rate) {
  const value = 100 * rate;
  return `${Number(value.toPrecision(value < 10 ? 2 : 3))} %`;
}

export function score(value) {
  return Math.abs(value) >= 1000 || (value !== 0 && Math.abs(value) < 0.01)
    ? value.toExponential(2) : value.toPrecision(4);
}

// How far beyond: 0 is usual for good parts, 1 is the limit.
export const times = (value) => `${Number(value.toPrecision(value > 1 && value < 1.1 ? 4 : 3))} × limit`;

export function oneIn(share) {
  return share >= 0.095 ? `${Math.round(10 * share)} in 10` : `1 in ${Math.round(1 / share)}`;
}

export function time(text) {
  const date = new Date(text);
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString([], today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

export const several = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// An element with a class, its text and its children: text is never taken for markup.
export function make(tag, className = "", ...inside) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...inside);
  return element;
}

export const byId = (id) => document.getElementById(id);
