// A line at the foot of the page for a moment, which screen readers hear as well.

import { byId } from "./words.js";

let silence = null;
export function say(text) {
  byId("toast").textContent = text;
  byId("toast").classList.add("shown");
  clearTimeout(silence);
  silence = setTimeout(() => byId("toast").classList.remove("shown"), 5000);
}

addEventListener("unhandledrejection", (event) => { if (event.reason?.message) say(event.reason.message); });
