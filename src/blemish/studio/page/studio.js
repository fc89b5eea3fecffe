// The studio: its pages, one at a time.

import { call, onTokenNeeded } from "/static/api.js";
import { drawCompare } from "/static/compare.js";
import { drawLog } from "/static/log.js";
import { drawModels } from "/static/models.js";
import { buildNav, listen, lookAtJobs, say, show } from "/static/nav.js";
import { refreshPictures } from "/static/pictures.js";
import { drawTrain } from "/static/train.js";
import { byId } from "/static/words.js";

addEventListener("unhandledrejection", (event) => { if (event.reason?.message) say(event.reason.message); });

let asking = null;
onTokenNeeded(() => {
  asking ??= new Promise((resolve) => {
    byId("login").showModal();
    byId("login-form").onsubmit = async (event) => {
      event.preventDefault();
      try {
        await call("POST", "/v1/session", { json: { token: byId("token").value } });
        location.reload();
        resolve();
      } catch (error) { byId("login-error").textContent = error.message; }
    };
  });
  return asking;
});

const ENTER = { pictures: refreshPictures, train: drawTrain, models: drawModels, compare: drawCompare, log: drawLog };

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

let soon = null;
listen({
  pictures: () => {
    clearTimeout(soon);
    soon = setTimeout(() => { if (!byId("pictures").hidden) refreshPictures(); else if (!byId("train").hidden) drawTrain(); }, 700);
  },
});
