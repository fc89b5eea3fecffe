// Where a server has several models: which one this page is of, and the way to the others.

import { get } from "./api.js";
import { make } from "./words.js";

const [, name, page] = /\/inspect\/([^/]+)\/([^/]*)$/.exec(location.pathname) ?? [];

export async function addSwitch() {
  if (!name) return;
  const models = (await get("../../v1/models")).filter(({ source }) => page !== "live" || source);
  const select = make("select");
  select.setAttribute("aria-label", "Model");
  select.append(...models.map((one) => new Option(page === "live" ? `${one.name}: ${one.source}` : one.name, one.name, false, one.name === decodeURIComponent(name))));
  select.addEventListener("change", () => { location.href = `../${encodeURIComponent(select.value)}/${page}${location.hash}`; });
  document.querySelector(".top .actions").prepend(select);
}
