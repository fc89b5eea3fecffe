// Files on their way into the project, and what was found in them.

import { get } from "/static/api.js";
import { showFound, takeFiles } from "/static/given.js";
import { refreshPictures, state } from "/static/pictures.js";
import { byId, several } from "/static/words.js";

takeFiles({
  doing: "Taken in",
  refresh: refreshPictures,
  begin() {
    location.hash = "#pictures";
    return { good: 0, defect: 0, unsorted: 0, equal: 0, masks: 0, because: new Map() };
  },
  async send(path, post, found) {
    const query = new URLSearchParams({ path });
    const product = byId("new-product").value.trim();
    if (product) query.set("product", product);
    const role = byId("new-role").value;
    if (role) query.set("role", role);
    try {
      const taken = await post(`/v1/studio/pictures?${query}`);
      found[taken.equal_to ? "equal" : taken.role] += 1;
      if (taken.because && !taken.equal_to) {
        const why = `${taken.role === "defect" ? "defects" : taken.role}: ${taken.because}`;
        found.because.set(why, (found.because.get(why) ?? 0) + 1);
      }
    } catch (error) {
      if (error.code !== "mask") throw error;
      found.masks += 1;
    }
  },
  report({ others, failed, counts: found }) {
    const parts = [[found.good, "good"], [found.defect, "defect"], [found.unsorted, "to be sorted"], [found.equal, "here already"]].filter(([n]) => n);
    const lines = [...found.because].map(([why, count]) => `${several(count, "picture")} taken as ${why}`);
    if (found.unsorted) lines.push(`${several(found.unsorted, "picture")} of which no folder says what they show: mark them below.`);
    if (found.equal) lines.push(`${several(found.equal, "file")} equal to a picture that is here already: kept once.`);
    if (found.masks) lines.push(`${several(found.masks, "mask")} not taken: outline defects in the opened picture.`);
    if (others) lines.push(`${several(others, "file")} that are no pictures, by their names.`);
    return [parts.length ? `Found ${parts.map(([n, word]) => `${n} ${word}`).join(", ")}.` : "Found no picture.", lines, failed];
  },
});

byId("check").addEventListener("click", async () => {
  byId("check").disabled = true;
  showFound(`Looking into ${several(state.pictures.length, "picture")}…`, []);
  byId("progress-bar").removeAttribute("value");
  try {
    const { found: problems } = await get("/v1/studio/checks");
    showFound(problems.length ? `${several(problems.length, "thing")} to look at.` : "No problems found.", problems);
    byId("progress-more").open = true;
  } finally {
    byId("check").disabled = false;
    byId("progress-bar").value = 1;
    byId("progress-bar").max = 1;
  }
});
