// The audit log.

import { get } from "/static/api.js";
import { byId, make, time } from "/static/words.js";

export async function drawLog() {
  const entries = await get("/v1/studio/audit");
  byId("audit").replaceChildren(...entries.map((entry) => {
    const who = entry.name === "studio" ? "studio" : entry.name ? `${entry.name}, ${entry.role}` : entry.role;
    return make("tr", "", ...[time(entry.at), who, entry.action, entry.subject, entry.before || "–", entry.after || "–"].map((text) => make("td", "", text)));
  }));
}
