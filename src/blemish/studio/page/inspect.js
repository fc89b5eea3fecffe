// What the studio adds to the pages of one model: its bar, and the way back into the project.

import { call, get } from "/static/api.js";
import { button } from "/static/button.js";
import { buildNav, listen, lookAtJobs } from "/static/nav.js";
import { say } from "/static/say.js";
import { byId, make, several } from "/static/words.js";

const name = decodeURIComponent(location.pathname.split("/")[2]);

function addButtons() {
  const of = `/v1/studio/models/${encodeURIComponent(name)}`;
  const take = button("Take marked pictures into the project", async () => {
    const found = await call("POST", `${of}/take-marked`);
    const parts = [`${several(found.good, "good picture")} and ${several(found.defect, "defect")} taken for the next training`];
    if (found.sorted) parts.push(`${several(found.sorted, "picture")} that waited in the project sorted by the marks`);
    if (found.known) parts.push(`${found.known} there already`);
    if (found.differ) parts.push(`${found.differ} marked otherwise in the project, and left as they are there`);
    if (found.unknown) parts.push(`${found.unknown} of no product of the model: say the product first`);
    say(`${parts.join("; ")}.`);
  });
  byId("recalibrate").after(take);
  const wide = make("button", "", "Limits");
  wide.type = "button";
  const set = (on) => {
    document.body.classList.toggle("limits-wide", on);
    wide.textContent = on ? "Pictures" : "Limits";
    history.replaceState(null, "", on ? "#limits" : location.pathname);
  };
  wide.addEventListener("click", () => { set(!document.body.classList.contains("limits-wide")); scrollTo(0, 0); });
  byId("limits-button").replaceWith(wide);
  wide.id = "limits-button-wide";
  set(location.hash === "#limits");
}

// The pictures that set the limits are in the project, also where they were never judged here.
function showSetters() {
  for (const item of document.querySelectorAll("#setters li, #setters-more li")) {
    const { product, name: file } = item.dataset;
    if (!file || item.dataset.seen) continue;
    item.dataset.seen = "1";
    const place = new URLSearchParams({ product, name: file });
    if (!item.querySelector("img")) {
      const small = make("img");
      small.alt = "";
      small.addEventListener("error", () => small.remove());
      small.src = `/v1/studio/called?${place}`;
      item.querySelector(".setter").append(small);
    }
    const out = button("Not good", async () => {
      const { path } = await get(`/v1/studio/find?${place}`);
      await call("PUT", "/v1/studio/marks", { json: { paths: [path], mark: "leave_out" } });
      say(`${file} is left out of the next training. Leave it out of these limits as well.`);
    });
    out.classList.add("plain");
    out.setAttribute("aria-label", `Not good: leave ${file} out of the next training`);
    item.append(out);
  }
}

buildNav("models");
lookAtJobs();
listen({});
if (byId("setters-card")) { // the page of pictures and limits
  addButtons();
  new MutationObserver(showSetters).observe(byId("setters-card"), { childList: true, subtree: true });
}
