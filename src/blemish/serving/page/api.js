// Talking to the server this page came from, and to no other.

export class Refusal extends Error {
  constructor(status, code, detail, wait) {
    super(detail);
    this.status = status;
    this.code = code;
    this.wait = wait;
  }
}

let askToken = null; // login.js
export function onTokenNeeded(ask) { askToken = ask; }

export async function call(method, path, { json, body, type, signal } = {}) {
  const headers = {};
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (type) headers["Content-Type"] = type;
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, body: json === undefined ? body : JSON.stringify(json) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "unreachable", "The server cannot be reached.", 2);
  }
  if (answer.status === 401 && !path.endsWith("v1/session")) {
    await askToken();
    return call(method, path, { json, body, type, signal });
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const wait = Number(answer.headers.get("Retry-After")) || 0;
    throw new Refusal(answer.status, content.error ?? "", content.detail ?? `Status ${answer.status}.`, wait);
  }
  return content;
}

export const get = (path, query = {}) => {
  const asked = Object.entries(query).filter(([, value]) => value !== null && value !== undefined)
    .flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  return call("GET", asked.length ? `${path}?${new URLSearchParams(asked)}` : path);
};
