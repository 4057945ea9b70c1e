/** How long a link of a server that asks for tokens can be used. */
const EXPIRES_S = 12 * 3600;

/**
 * Copies a link that others, or OBS, can watch the session by: they see and hear it, no more.
 * @param {import("./client/api.js").Api} api
 * @param {string} session id
 * @param {import("./toasts.js").Toasts} toasts
 */
export async function copyViewLink(api, session, toasts) {
  const link = new URL(location.pathname, location.href);
  link.searchParams.set("view", session);
  const token = await api.viewToken(session, EXPIRES_S);
  if (token) link.searchParams.set("token", token);
  try {
    await navigator.clipboard.writeText(link.href);
    toasts.show(
      token === null
        ? "View link copied. Add &token=… to it: a token with the scope “view”, made with your key."
        : "View link copied. It shows this session as long as it lasts.",
    );
  } catch {
    toasts.show(link.href); // the browser keeps the clipboard to itself
  }
}
