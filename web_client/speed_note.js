import { byId, element } from "./dom.js";
import { drawsInSoftware } from "./rendering.js";

/** @typedef {import("./stats.js").Snapshot} Snapshot */

const FEW_FPS = 15;
const SLOW_AFTER = 4;
const WELL_AFTER = 5;
const QUIET_MS = 60_000;
const SMALL_PX = 256;
const LOCAL = /^(localhost|127\.|\[::1\])/;

/**
 * Says when the face cannot be fluent, why, and what helps; takes it back when it is over.
 *
 * The server tells of itself. That this browser is the slow one shows in pictures that came and were
 * not shown. It speaks once a minute at most, and no more in a session in which it was closed.
 */
export class SpeedNote {
  #root = byId("slow");
  #text = byId("slow-text");
  #advice = byId("slow-advice");
  #details = /** @type {HTMLDetailsElement} */ (this.#advice.parentElement);
  #close = byId("slow-close");
  #closed = false;
  #quietUntilMs = 0;
  #browserSlow = false;
  #against = 0;
  /** @type {boolean | null} not known before it matters: to find out costs a WebGL context */
  #software = null;

  #onClose = () => {
    this.#closed = true;
    this.#root.hidden = true;
  };

  constructor() {
    this.#close.addEventListener("click", this.#onClose);
  }

  /** @param {Snapshot} snapshot one a second, of a page that is seen */
  observe(snapshot) {
    this.#judgeBrowser(snapshot);
    const serverSlow = snapshot.serverSlow === true;
    if (!serverSlow && !this.#browserSlow) {
      this.#root.hidden = true;
      return;
    }
    this.#software ??= drawsInSoftware();
    if (this.#software) document.documentElement.dataset.effects = "plain";
    const nowMs = performance.now();
    if (this.#closed || !this.#root.hidden || nowMs < this.#quietUntilMs) return;
    this.#quietUntilMs = nowMs + QUIET_MS;
    this.#say(snapshot, serverSlow, this.#software);
    this.#root.hidden = false;
  }

  /** @param {Snapshot} snapshot @param {boolean} serverSlow @param {boolean} software */
  #say(snapshot, serverSlow, software) {
    const here = LOCAL.test(location.hostname);
    const fps = Math.round((serverSlow ? snapshot.serverDrawnFps : snapshot.fps) ?? 0);
    this.#text.textContent = `${subject(serverSlow, here)}: ${fps} new pictures a second.`;
    const small = (snapshot.widthPx ?? 0) <= SMALL_PX;
    const advice = [
      (!serverSlow || here) && "Close other programs and tabs.",
      software && "Turn on hardware acceleration in this browser's settings: it draws without.",
      serverSlow && !small && `Draw smaller pictures: vivavoce serve --size ${SMALL_PX}.`,
      serverSlow && "Run the server on a faster machine, or on one with a GPU.",
    ];
    const items = advice.filter((line) => typeof line === "string");
    this.#advice.replaceChildren(...items.map((line) => element("li", {}, line)));
    this.#details.open = false;
  }

  /** Forgets the last session. */
  clear() {
    this.#closed = this.#browserSlow = false;
    this.#against = this.#quietUntilMs = 0;
    this.#root.hidden = true;
    delete document.documentElement.dataset.effects;
  }

  destroy() {
    this.clear();
    this.#close.removeEventListener("click", this.#onClose);
  }

  /** @param {Snapshot} snapshot */
  #judgeBrowser({ fps, serverFps }) {
    if (document.hidden || fps === null || serverFps === null) return;
    const few = fps < FEW_FPS && serverFps >= FEW_FPS + 5;
    this.#against = few === this.#browserSlow ? 0 : this.#against + 1;
    if (this.#against < (this.#browserSlow ? WELL_AFTER : SLOW_AFTER)) return;
    this.#browserSlow = few;
    this.#against = 0;
  }
}

/** @param {boolean} serverSlow @param {boolean} here whether the server runs on this computer */
function subject(serverSlow, here) {
  if (!serverSlow) return "This browser is too slow for a fluent face";
  return `This ${here ? "computer" : "server"} is too slow for a fluent face`;
}
