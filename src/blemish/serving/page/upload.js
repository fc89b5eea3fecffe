// Pictures on their way to be judged, each by the product that is chosen or its folder names.

import { takeFiles } from "./given.js";
import { refresh, state } from "./state.js";
import { byId, several } from "./words.js";

function productOf(path) {
  const choice = byId("product").value;
  if (choice !== "folder") return choice;
  const parts = path.split("/").slice(0, -1);
  return state.model.products.find((product) => parts.includes(product)) ?? "";
}

takeFiles({
  doing: "Judged",
  anyName: true,
  refresh,
  begin: () => ({ here: new Set(state.pictures.map((picture) => picture.id)), equal: 0 }), // ids kept
  async send(path, post, counts) {
    const query = new URLSearchParams({ keep: "true", name: path });
    const product = productOf(path);
    if (product) query.set("product", product);
    const { results: [{ id, error }], repeated } = await post(`v1/predict?${query}`);
    if (error) throw new Error(error.detail); // judged, but not kept
    if (counts.here.has(id) && !repeated) counts.equal += 1;
    counts.here.add(id);
  },
  report({ all, failed, counts: { equal } }) {
    if (all === 0) return ["Found no picture.", []];
    const lines = equal ? [`${several(equal, "file")} equal to a picture that is here already: one entry, under the name given last.`] : [];
    if (failed.length) return [`${several(failed.length, "file")} could not be judged.`, lines, failed];
    return equal ? [`Judged ${several(all, "picture")}, ${equal} of them here already.`, lines] : null;
  },
});
