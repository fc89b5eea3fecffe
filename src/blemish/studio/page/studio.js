// The studio: its pages, one at a time.

import { drawCompare } from "/static/compare.js";
import { drawLine } from "/static/line.js";
import { drawLog } from "/static/log.js";
import { drawModels } from "/static/models.js";
import { buildNav, listen, lookAtJobs, show } from "/static/nav.js";
import { refreshPictures } from "/static/pictures.js";
import { drawTrain } from "/static/train.js";
import "/static/say.js";
import { byId } from "/static/words.js";

const ENTER = { pictures: refreshPictures, train: drawTrain, models: drawModels, line: drawLine, compare: drawCompare, log: drawLog };

async function enter() {
  const wanted = location.hash.slice(1);
  const page = wanted in ENTER ? wanted : "pictures";
  for (const section of document.querySelectorAll(".page")) section.hidden = section.id !== page;
  show(page);
  document.title = `${page[0].toUpperCase()}${page.slice(1)} · blemish studio`;
  await ENTER[page]();
  document.documentElement.dataset.ready = "true";
}

buildNav("pictures");
addEventListener("hashchange", () => { enter(); scrollTo(0, 0); });
lookAtJobs();
enter();

byId("keys-button").addEventListener("click", () => byId("keys").showModal());
byId("keys-close").addEventListener("click", () => byId("keys").close());
addEventListener("keydown", (event) => {
  if (event.key !== "?" || document.querySelector("dialog[open]") || event.target.matches("input, textarea")) return;
  event.preventDefault();
  byId("keys").showModal();
});

let soon = null;
listen({
  lines: () => { if (!byId("line").hidden) drawLine(); },
  pictures: () => {
    clearTimeout(soon);
    soon = setTimeout(() => { if (!byId("pictures").hidden) refreshPictures(); else if (!byId("train").hidden) drawTrain(); }, 700);
  },
});
