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
  async send(path, post) {
    const query = new URLSearchParams({ keep: "true", name: path });
    const product = productOf(path);
    if (product) query.set("product", product);
    const [{ error }] = (await post(`v1/predict?${query}`)).results;
    if (error) throw new Error(error.detail); // judged, but not kept
  },
  report({ all, failed }) {
    if (all === 0) return ["Found no picture.", []];
    return failed.length ? [`${several(failed.length, "file")} could not be judged.`, [], failed] : null;
  },
});
