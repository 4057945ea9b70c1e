/**
 * What the user has chosen, kept in this browser.
 *
 * @typedef {{on: boolean, server: string, token: string, avatar: string, first: boolean,
 *   sites: string[]}} Settings
 *   sites: origins of the calls that may use the avatar; first: a call that asks for any camera gets
 *   the avatar, not only one that asks for it by its name
 */

/** @type {Settings} */
export const DEFAULTS = {
  on: true,
  server: "http://127.0.0.1:8080",
  token: "",
  avatar: "",
  first: true,
  sites: [],
};

/** @returns {Promise<Settings>} */
export async function load() {
  return { ...DEFAULTS, ...(await chrome.storage.local.get(Object.keys(DEFAULTS))) };
}

/** @param {Partial<Settings>} changed */
export async function save(changed) {
  await chrome.storage.local.set(changed);
}

/**
 * Of a server's address or a page's; a permission covers every port of a host.
 * @param {string} address
 */
export function hostPattern(address) {
  const { protocol, hostname } = new URL(address);
  return `${protocol}//${hostname}/*`;
}

/**
 * @param {string} typed
 * @returns {string} the address without a slash at its end; "" where it is none
 */
export function serverAddress(typed) {
  try {
    const url = new URL(typed.includes("://") ? typed : `http://${typed}`);
    if (!["http:", "https:"].includes(url.protocol)) return "";
    return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
  } catch {
    return "";
  }
}
