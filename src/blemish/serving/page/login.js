// The token, asked for where the server wants one; then what was under way goes on.

import { call, onTokenNeeded } from "./api.js";
import { make } from "./words.js";

let asking = null;
let entered = () => {};
export const onEntered = (listener) => { entered = listener; };
onTokenNeeded(() => { asking ??= ask().finally(() => { asking = null; }); return asking; });

function ask() {
  const title = Object.assign(make("h2", "", "This server asks for a token"), { id: "login-title" });
  const token = Object.assign(make("input"), { id: "token", type: "password", autocomplete: "current-password", required: true });
  const error = Object.assign(make("p", "error"), { id: "login-error", role: "alert" });
  const form = make("form", "", title, make("p", "", make("label", "", "Token ", token)), error, make("div", "row", make("button", "main", "Log in")));
  const dialog = Object.assign(make("dialog", "box", form), { id: "login" });
  dialog.setAttribute("aria-labelledby", "login-title");
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await call("POST", "v1/session", { json: { token: token.value } });
        dialog.remove();
        entered();
        resolve();
      } catch (problem) { error.textContent = problem.message; }
    });
  });
}
