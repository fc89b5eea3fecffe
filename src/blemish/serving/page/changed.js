// Pictures of before a change and of since, side by side: what figures only say has happened is seen.

import { make, time } from "./words.js";

const SIDES = [["before", "Before"], ["after", "Since"]];
const HOW = "To have some another time, keep some that are OK as well: --keep-live not-ok,1/50 with a camera, keep=true with POST /v1/predict.";
const made = new Map(); // by product: what was drawn, and of which pictures

function side(name, pictures) {
  const large = make("img");
  const link = make("a", "", large);
  link.target = "_blank";
  const caption = make("figcaption");
  const strip = make("ul", "strip");
  function show(picture, button) {
    const [height, width] = picture.size;
    large.src = `v1/pictures/${picture.id}/piece?left=0&top=0&width=${width}&height=${height}`;
    large.alt = `${name}: ${picture.name}`;
    link.href = `v1/pictures/${picture.id}/source`;
    caption.replaceChildren(make("strong", "", name), ` ${picture.name}, ${time(picture.judged)}`);
    for (const each of strip.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
  }
  const buttons = pictures.map((picture) => {
    const small = make("img");
    small.src = `v1/pictures/${picture.id}/thumbnail`;
    small.alt = "";
    const button = make("button", "", small);
    button.type = "button";
    button.setAttribute("aria-label", `${name}: ${picture.name}`);
    button.addEventListener("click", () => show(picture, button));
    strip.append(make("li", "", button));
    return button;
  });
  if (!pictures.length) return make("p", "nothing", `${name}: no picture is kept. ${HOW}`);
  show(pictures[0], buttons[0]);
  return make("figure", "", caption, link, strip);
}

// Drawn anew only where the pictures are others: somebody may be looking at one of them.
export function changedPictures(product) {
  const { before, after, rose, rang } = product.changed;
  const which = JSON.stringify([rang, [...before, ...after].map((picture) => picture.id)]);
  const there = made.get(product.product);
  if (there?.which === which) return there.element;
  const most = Object.entries(product.by_measure).sort(([, a], [, b]) => b - a)[0]?.[0];
  const element = make("section", "changed", make("h3", "", "What has changed"),
    make("p", "dim", `Most of all the ${most}. The evidence rose from part ${rose.part} on (${time(rose.time)}) until it rang (${time(rang)}).`),
    make("div", "sides", ...SIDES.map(([key, name]) => side(name, product.changed[key]))));
  made.set(product.product, { which, element });
  return element;
}
