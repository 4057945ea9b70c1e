/** The token that this tab shows to a server that asks for one. */

const NAME = "token";
const KEPT = "vivavoce.token";

/**
 * Takes the token out of the page's address (`#token=` or `?token=`), so that it is neither seen nor
 * kept in the history, or else the one this tab had before.
 * @returns {string} empty where there is none
 */
export function takeToken() {
  const address = new URL(location.href);
  const fragment = new URLSearchParams(address.hash.slice(1));
  const given = fragment.get(NAME) ?? address.searchParams.get(NAME);
  if (given === null) return sessionStorage.getItem(KEPT) ?? "";
  fragment.delete(NAME);
  address.searchParams.delete(NAME);
  address.hash = fragment.toString();
  history.replaceState(null, "", address);
  keepToken(given);
  return given;
}

/** For as long as the tab is open. @param {string} token */
export function keepToken(token) {
  sessionStorage.setItem(KEPT, token);
}
