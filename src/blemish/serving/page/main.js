// The page as a whole: start, controls of the bar, keys.

import { call, get } from "./api.js";
import "./detail.js";
import { followHistory, listen, onOthersLimits } from "./events.js";
import { focus } from "./grid.js";
import "./histogram.js";
import { outdated } from "./limits.js";
import "./login.js";
import { say } from "./say.js";
import "./setters.js";
import { changed, refresh, state } from "./state.js";
import { addSwitch } from "./switch.js";
import "./upload.js";
import { byId, several } from "./words.js";

listen("hello", ({ live }) => { byId("live-link").hidden = !live; });
listen("alarm", ({ sentence }) => say(sentence));
onOthersLimits(({ version, note }) => {
  outdated(version);
  say(`Calibration ${version} is in force, put there elsewhere: ${note}.`);
});
byId("logout").addEventListener("click", async () => { await call("DELETE", "v1/session"); location.reload(); });

const remembered = JSON.parse(localStorage.getItem("blemish") ?? "{}");
function remember() {
  const { heat, opacity, order } = state;
  localStorage.setItem("blemish", JSON.stringify({ heat, opacity, order, product: byId("product").value }));
}
function setHeat(on) { state.heat = on; changed(); remember(); }

byId("heat").addEventListener("change", (event) => setHeat(event.target.checked));
byId("opacity").addEventListener("input", (event) => {
  state.opacity = event.target.value / 100;
  document.documentElement.style.setProperty("--opacity", String(state.opacity));
  remember();
});
byId("order").addEventListener("change", (event) => { state.order = event.target.value; changed(); remember(); });
byId("product").addEventListener("change", remember);
byId("clear").addEventListener("click", async () => {
  const count = state.pictures.filter((p) => !p.mark).length;
  if (!confirm(`Remove ${several(count, "unmarked picture")} for good?`)) return;
  const { removed } = await call("POST", "v1/history/remove", { json: { ids: null } });
  await refresh();
  say(`${several(removed, "picture")} removed.`);
});
byId("limits-button").addEventListener("click", () => {
  const shown = document.body.classList.toggle("limits-shown");
  byId("limits-button").setAttribute("aria-expanded", String(shown));
  byId("limits-button").textContent = shown ? "Pictures" : "Limits";
  scrollTo(0, 0);
});
byId("keys-button").addEventListener("click", () => byId("keys").showModal());
byId("keys-close").addEventListener("click", () => byId("keys").close());

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches('select, input:not([type="checkbox"], [type="range"])')) return;
  if (event.key === "?") byId("keys").showModal();
  else if (event.key.toLowerCase() === "h") { byId("heat").click(); }
  else if (event.key.toLowerCase() === "a") byId("files").click();
  else if (event.key.startsWith("Arrow") && event.target === document.body) focus(Number(byId("grid").firstElementChild?.dataset.id));
  else return;
  event.preventDefault();
});

function drawModel() {
  const { name, products, facts } = state.model;
  byId("model").textContent = name;
  document.title = `${name} · blemish`;
  const trained = facts.training_images ? ` · learned from ${several(facts.training_images, "good picture")}` : "";
  byId("facts").textContent = `${products.join(", ")} · ${facts.method}${trained}`;
  byId("product-field").hidden = products.length < 2;
  const options = products.map((product) => new Option(product, product));
  if (products.length > 1) options.unshift(new Option("as the folder is called", "folder"), new Option("from the picture", ""));
  byId("product").replaceChildren(...options);
  const wanted = remembered.product;
  if (options.some((option) => option.value === wanted)) byId("product").value = wanted;
}

async function start() {
  state.heat = remembered.heat ?? true;
  state.opacity = remembered.opacity ?? 0.65;
  state.order = remembered.order ?? "worst";
  byId("heat").checked = state.heat;
  byId("opacity").value = String(100 * state.opacity);
  byId("order").value = state.order;
  state.model = await get("v1/model");
  const session = await get("v1/session");
  byId("logout").hidden = !session.needed;
  drawModel();
  await addSwitch();
  await refresh();
  followHistory();
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => say(error.message));
