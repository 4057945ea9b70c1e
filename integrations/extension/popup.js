import { Server } from "./server.js";
import { hostPattern, load, save, serverAddress } from "./settings.js";

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);

let settings = await load();

function show() {
  byId("on").checked = settings.on;
  byId("first").checked = settings.first;
  byId("server").value = settings.server;
  byId("token").value = settings.token;
}

/** @param {string} text @param {"good" | "bad" | ""} kind */
function say(text, kind = "") {
  byId("status").textContent = text;
  byId("status").dataset.kind = kind;
}

/** @param {Partial<import("./settings.js").Settings>} changed */
async function change(changed) {
  settings = { ...settings, ...changed };
  await save(changed);
}

// The server and its avatars

const LOOKING = "Looking for the server…";
/** Attempts to connect; what comes of older ones is not told any more. */
let attempts = 0;

async function connect() {
  const attempt = ++attempts;
  say(LOOKING);
  const select = byId("avatar");
  try {
    const avatars = await new Server(settings).avatars();
    if (attempt !== attempts) return;
    const chosen = avatars.some(({ id }) => id === settings.avatar) ? settings.avatar : "";
    const choices = [{ id: "", name: "The server's choice" }, ...avatars];
    select.replaceChildren(
      ...choices.map(({ id, name }) => new Option(name, id, false, id === chosen)),
    );
    select.disabled = false;
    say("Connected.", "good");
  } catch (error) {
    if (attempt !== attempts) return;
    select.disabled = true;
    say(error instanceof Error ? error.message : String(error), "bad");
  }
}

byId("connect").addEventListener("submit", async (/** @type {Event} */ event) => {
  event.preventDefault();
  const server = serverAddress(byId("server").value.trim());
  attempts++;
  if (!server) return say("That is not an address. It looks like http://127.0.0.1:8080", "bad");
  say(LOOKING);
  // Asked for first: a permission can only be asked for right after a press.
  const granted = await chrome.permissions.request({ origins: [hostPattern(server)] });
  if (!granted) return say("Without that permission the server cannot be reached.", "bad");
  await change({ server, token: byId("token").value.trim() });
  show();
  await connect();
});

byId("avatar").addEventListener("change", () => change({ avatar: byId("avatar").value }));
byId("on").addEventListener("change", () => change({ on: byId("on").checked }));
byId("first").addEventListener("change", () => change({ first: byId("first").checked }));

// The page of the call

/** The tab of the call: the one in front, or the one that the popup's address names. */
async function currentTab() {
  const named = new URLSearchParams(location.search).get("tab");
  if (named) return chrome.tabs.get(Number(named));
  return (await chrome.tabs.query({ active: true, currentWindow: true }))[0];
}

async function showSite() {
  const tab = await currentTab();
  const url = tab?.url ? new URL(tab.url) : null;
  byId("site").hidden = !url || !/^https?:$/.test(url.protocol);
  if (!url) return;
  const allowed = settings.sites.includes(url.origin);
  byId("site-text").textContent = allowed
    ? `${url.host} may use your avatar.`
    : `${url.host} does not see your avatar.`;
  byId("site-button").textContent = allowed ? `Not on ${url.host}` : `Use on ${url.host}`;
  byId("site-button").onclick = () => allow(url, tab, !allowed);
}

/** @param {URL} url @param {chrome.tabs.Tab} tab @param {boolean} wanted */
async function allow(url, tab, wanted) {
  if (wanted && !(await chrome.permissions.request({ origins: [hostPattern(url.href)] }))) return;
  const others = settings.sites.filter((site) => site !== url.origin);
  await change({ sites: wanted ? [...others, url.origin] : others });
  await chrome.runtime.sendMessage("sites changed");
  await chrome.tabs.reload(/** @type {number} */ (tab.id)); // scripts come before the page's own
  await showSite();
}

show();
await Promise.all([connect(), showSite()]);
