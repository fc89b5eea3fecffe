// Where a server has several models: which one this page is of, and the way to the others.

import { get } from "./api.js";
import { make } from "./words.js";

const [, name, page] = /\/inspect\/([^/]+)\/([^/]*)$/.exec(location.pathname) ?? [];

export async function addSwitch() {
  if (!name) return;
  const own = decodeURIComponent(name);
  const known = await get("../../v1/models").catch(() => []); // the page goes on without the others
  if (!known.some((one) => one.name === own)) known.unshift({ name: own, source: null });
  const models = known.filter((one) => page !== "live" || one.source || one.name === own);
  const label = (one) => (page === "live" && one.source ? `${one.name}: ${one.source}` : one.name);
  const select = make("select");
  select.setAttribute("aria-label", "Model");
  select.append(...models.map((one) => new Option(label(one), one.name, false, one.name === own)));
  select.addEventListener("change", () => { location.href = `../${encodeURIComponent(select.value)}/${page}${location.hash}`; });
  document.querySelector(".top .actions").prepend(select);
}
