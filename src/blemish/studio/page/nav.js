// The bar of all pages: where one is, what is being computed, who one is.

import { call, get } from "/static/api.js";
import { onEntered } from "/static/login.js";
import { byId, make } from "/static/words.js";

const PAGES = [["pictures", "Pictures"], ["train", "Train"], ["models", "Models"], ["line", "Line"], ["compare", "Compare"], ["log", "Log"]];
const jobListeners = new Set();
export const onJobs = (listener) => jobListeners.add(listener);
export let jobs = [];
export let me = { role: "engineer", name: "", needed: false };

const chip = make("a", "chip");
chip.href = "/#train";
chip.hidden = true;

onEntered(() => location.reload());

export function buildNav(current) {
  const logo = make("img", "logo");
  Object.assign(logo, { src: "/static/icon.svg", alt: "", width: 26, height: 26 });
  const project = make("span", "", "blemish");
  const title = make(document.querySelector("h1") ? "p" : "h1", "", project);
  title.style.fontWeight = "700";
  const links = PAGES.map(([page, name]) => {
    const link = make("a", "", name);
    link.href = `/#${page}`;
    link.dataset.page = page;
    return make("li", "", link);
  });
  const name = make("input");
  Object.assign(name, { type: "text", placeholder: "your name", maxLength: 60, autocomplete: "name" });
  name.setAttribute("aria-label", "Your name, for the log");
  name.value = decodeURIComponent(/(?:^|; )blemish_name=([^;]*)/.exec(document.cookie)?.[1] ?? "");
  name.addEventListener("change", () => {
    document.cookie = `blemish_name=${encodeURIComponent(name.value.trim())}; path=/; max-age=31536000; samesite=strict`;
  });
  const role = make("span", "role");
  const leave = make("button", "plain", "Log out");
  leave.type = "button";
  leave.hidden = true;
  leave.addEventListener("click", async () => { await call("DELETE", "/v1/session"); location.reload(); });
  const nav = make("nav", "studio-nav", make("div", "project", logo, title), make("ul", "", ...links), make("span", "spring"), chip, make("span", "who", role, name, leave));
  nav.setAttribute("aria-label", "Studio");
  document.querySelector(".top, main").before(nav);
  show(current);
  get("/v1/session").then((session) => {
    me = session;
    project.textContent = session.project || "blemish";
    role.textContent = session.needed && session.role ? session.role : "";
    leave.hidden = !(session.needed && session.known);
    document.body.classList.toggle("role-operator", session.role === "operator");
  });
}

export function show(current) {
  for (const link of document.querySelectorAll(".studio-nav a[data-page]")) {
    if (link.dataset.page === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// Jobs are asked for often while one runs, and seldom otherwise.
let timer = null;
export async function lookAtJobs() {
  clearTimeout(timer);
  let busy = false;
  try {
    jobs = await get("/v1/studio/jobs");
    busy = jobs.some((job) => ["running", "waiting"].includes(job.state));
    const running = jobs.find((job) => job.state === "running");
    chip.hidden = !busy;
    const share = running?.progress?.total ? ` ${Math.round(100 * running.progress.done / running.progress.total)} %` : "";
    chip.textContent = running ? `${running.title}${share}` : "waiting";
    for (const listener of jobListeners) listener();
  } catch { /* asked again below */ }
  timer = setTimeout(lookAtJobs, document.hidden ? 15000 : busy ? 900 : 6000);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) lookAtJobs(); });

// What others do is seen at once; the browser comes back by itself when the server does.
export function listen(kinds) {
  const stream = new EventSource("/v1/studio/events");
  for (const [kind, heard] of Object.entries({ jobs: lookAtJobs, ...kinds })) stream.addEventListener(kind, heard);
}
