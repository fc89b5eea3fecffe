// The good pictures that the limits rest on: seen where they were judged here, left out by a click.

import { propose } from "./limits.js";
import { onChange, state } from "./state.js";
import { byId, make, several } from "./words.js";

const SHOWN = 5; // products whose limit stands far from the next good picture

function row(setters, image) {
  const product = state.judgedBy.setters.length > 1 && setters.product ? `${setters.product}: ` : "";
  let far = "sets the limit";
  if (setters.far) {
    const times = setters.times === null ? "alone above" : `${setters.times.toFixed(1)} times as far above`;
    far = `${times} the median good score${setters.times === null ? "" : " as the next"}`;
  }
  const picture = make("span", "setter");
  if (image.id !== null) {
    const small = make("img");
    small.src = `v1/pictures/${image.id}/thumbnail`;
    small.alt = "";
    picture.append(small);
  }
  const text = make("span", "", product, make("bdi", "", image.name), make("small", "", far));
  const button = make("button", "plain", "Leave out…");
  button.type = "button";
  button.setAttribute("aria-label", `Leave out… ${image.name} of the limits`);
  button.addEventListener("click", () => propose(null, state.rate, [image]));
  const item = make("li", "", picture, text, button);
  item.dataset.product = setters.product ?? state.model.products[0];
  item.dataset.name = image.name;
  return item;
}

let drawn = "";

onChange(() => {
  const setters = state.judgedBy?.setters ?? [];
  // Every picture that a line posts comes by here: a button that was drawn anew loses its click.
  const now = JSON.stringify([setters, state.model?.products]);
  if (now === drawn) return;
  drawn = now;
  byId("setters-card").hidden = setters.length === 0;
  const far = setters.filter((s) => s.far);
  const shown = far.length ? far.slice(0, SHOWN) : setters.slice(0, 1);
  const others = setters.filter((s) => !shown.includes(s));
  byId("setters").replaceChildren(...shown.flatMap((s) => s.images.map((image) => row(s, image))));
  const more = byId("setters-more");
  more.hidden = others.length === 0;
  more.querySelector("summary").textContent = several(others.length, "more product");
  more.querySelector("ol").replaceChildren(...others.flatMap((s) => s.images.map((image) => row(s, image))));
  byId("setters-meaning").textContent = far.length
    ? "Look at them: one that is no good part hides every defect that scores less."
    : "No good picture stands far from the others.";
});
