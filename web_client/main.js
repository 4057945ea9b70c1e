/**
 * Entry point. `/` is the product page, `/?view=...` the clean page for capture;
 * `/?avatar=NAME` preselects a face. `#token=TOKEN`, or `?token=TOKEN`, is shown to the server.
 *
 * For end-to-end tests and the curious, `window.vivavoce` offers
 *   state        "ready" | "connecting" | "live" | "failed"
 *   sessionId    the server's id, or null
 *   avatarState  "idle" | "listening" | "speaking"
 *   stats()      the last Snapshot (see stats.js), or null outside a session
 *   pc           the RTCPeerConnection, or null
 *   timings      milliseconds from Start to the end of each step
 *   events       the last server events, newest last
 */
import { Api } from "./client/api.js";
import { App } from "./app.js";
import { CleanView } from "./clean_view.js";
import { takeToken } from "./credential.js";
import { Preferences } from "./preferences.js";

const query = new URLSearchParams(location.search);
const token = takeToken();
if (token) query.set("token", token); // of viewers; it is no longer in the address
const api = new Api(token);
const page = query.has("view") ? new CleanView(api, query) : new App(api, new Preferences());

/** @type {any} */ (window).vivavoce = {
  get state() {
    return page.state;
  },
  get sessionId() {
    return page.session?.id ?? null;
  },
  get avatarState() {
    return page.avatarState;
  },
  get pc() {
    const viewer = page instanceof CleanView ? page.viewer : null;
    return page.session?.peer?.pc ?? viewer?.pc ?? null;
  },
  /** How the background is taken out: "known", "plain" or "none"; null where it is to stay. */
  get keyed() {
    return page instanceof CleanView ? (page.keyed?.by ?? null) : null;
  },
  get timings() {
    return page.session?.timings ?? {};
  },
  get events() {
    return page.session?.recentEvents ?? [];
  },
  async stats() {
    return page.collector?.latest ?? (await page.collector?.sample()) ?? null;
  },
};

if (page instanceof App) page.load(query.get("avatar"));
else page.start();
