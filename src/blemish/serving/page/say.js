// A line at the foot of the page for a moment, which screen readers hear as well.

import { byId, make } from "./words.js";

function line() { // not every page has one of its own
  const made = Object.assign(make("div", "toast"), { id: "toast", role: "status", ariaLive: "polite" });
  document.body.append(made);
  return made;
}

const toast = byId("toast") ?? line();
let silence = null;
export function say(text) {
  toast.textContent = text;
  toast.classList.add("shown");
  clearTimeout(silence);
  silence = setTimeout(() => toast.classList.remove("shown"), 5000);
}

addEventListener("unhandledrejection", (event) => { if (event.reason?.message) say(event.reason.message); });
