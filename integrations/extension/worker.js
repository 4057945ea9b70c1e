// The service worker: speaks with the server for the pages of calls, and keeps what they may do.

import { Server } from "./server.js";
import { load, hostPattern, save } from "./settings.js";

const CALL_SCRIPTS = ["call/avatar_track.js", "call/avatar_session.js", "call/media_devices.js"];
const FRAME = "16:9"; // what calls expect of a camera
const ORIGIN_RULE = 1;

/**
 * What the page of a call may ask for. None of it names an address or an avatar: those are the
 * user's.
 * @type {Record<string, (ask: any, settings: import("./settings.js").Settings) => Promise<unknown>>}
 */
const CALLS = {
  state: async (ask, { on, first }) => ({ on, first }),
  iceServers: (ask, settings) => new Server(settings).iceServers(),
  open: async ({ sdp }, settings) => {
    await withoutOrigin(settings.server);
    return new Server(settings).open(sdp, settings.avatar, FRAME);
  },
  close: async ({ id }, settings) => {
    await withoutOrigin(settings.server);
    return new Server(settings).close(id);
  },
};

chrome.runtime.onMessage.addListener((message, sender, answer) => {
  handle(message, sender).then(answer, (error) =>
    answer({ error: { code: error.code ?? "failed", message: error.message } }),
  );
  return true; // it comes later
});

/** @param {any} message @param {chrome.runtime.MessageSender} sender */
async function handle(message, sender) {
  const origin = sender.origin ?? new URL(sender.url ?? "").origin;
  if (origin === location.origin) return { result: await registerSites() }; // from the popup
  const settings = await load();
  if (!settings.sites.includes(origin)) return { result: { on: false, first: false } };
  if (!Object.hasOwn(CALLS, message.type)) throw new Error(`unknown request ${message.type}`);
  return { result: await CALLS[message.type](message, settings) };
}

/**
 * A server takes no changes from pages of other sites, which it knows by the header Origin. This
 * extension is no page: it asks for what its user chose, so its own requests go without.
 * @param {string} server
 */
async function withoutOrigin(server) {
  await chrome.declarativeNetRequest.updateSessionRules({
    removeRuleIds: [ORIGIN_RULE],
    addRules: [
      {
        id: ORIGIN_RULE,
        condition: { urlFilter: `|${server}/`, initiatorDomains: [chrome.runtime.id] },
        action: {
          type: "modifyHeaders",
          requestHeaders: [{ header: "origin", operation: "remove" }],
        },
      },
    ],
  });
}

/** Puts the scripts into the pages of the sites that may use the avatar, and of no other. */
async function registerSites() {
  const { sites } = await load();
  await chrome.scripting.unregisterContentScripts();
  const matches = [...new Set(sites.map(hostPattern))];
  if (!matches.length) return;
  const common = { matches, allFrames: true, runAt: "document_start", persistAcrossSessions: true };
  await chrome.scripting.registerContentScripts([
    { ...common, id: "bridge", js: ["call/bridge.js"] },
    { ...common, id: "call", js: CALL_SCRIPTS, world: "MAIN" },
  ]);
}

chrome.permissions.onRemoved.addListener(async () => {
  const { sites } = await load();
  const kept = [];
  for (const site of sites) {
    if (await chrome.permissions.contains({ origins: [hostPattern(site)] })) kept.push(site);
  }
  await save({ sites: kept });
  await registerSites();
});

chrome.runtime.onInstalled.addListener(registerSites);

chrome.storage.onChanged.addListener(showState);
chrome.runtime.onStartup.addListener(showState);

async function showState() {
  const { on } = await load();
  await chrome.action.setBadgeText({ text: on ? "" : "off" });
}
