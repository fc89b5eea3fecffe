// A button of engineers, which cannot be pressed again while what it does is under way.

import { say } from "/static/say.js";
import { make } from "/static/words.js";

export function button(text, action, kind = "") {
  const made = make("button", `engineer ${kind}`, text);
  made.type = "button";
  made.addEventListener("click", async () => {
    made.disabled = true;
    try { await action(); } catch (error) { say(error.message); }
    made.disabled = false;
  });
  return made;
}
