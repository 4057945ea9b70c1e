import { byId, element } from "./dom.js";
import { asClientError } from "./client/errors.js";
import { Microphone } from "./client/microphone.js";
import { Session } from "./client/session.js";
import { WhepViewer } from "./client/whep_viewer.js";
import { explain } from "./errors.js";
import { KeyedPicture } from "./keyed_picture.js";
import { Stage } from "./stage.js";
import { StatsCollector } from "./stats.js";

const RETRY_MS = 4000;
const COLOUR = /^(#[0-9a-f]{3,8}|[a-z]+)$/i;
const KEY = /^#?([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i;

/**
 * The page for OBS and other capture: the avatar and nothing else.
 *
 * `/?view=SESSION` watches a session that is open elsewhere; `/?view=self&avatar=NAME` starts its own
 * with the microphone. Either begins again whenever it ends. `&key=00ff00` puts the face before that
 * colour, `&key=transparent` before nothing; `&token=...` is that of a view link.
 */
export class CleanView {
  /** @type {"connecting" | "live" | "failed"} */ state = "connecting";
  /** @type {Session | null} */ session = null;
  /** @type {WhepViewer | null} */ viewer = null;
  /** @type {KeyedPicture | null} */ keyed = null;
  /** @type {StatsCollector | null} */ collector = null;
  avatarState = "idle";
  #stage = new Stage();
  #microphone = new Microphone();
  #retryTimer = 0;
  /** @type {HTMLElement | null} */ #message = null;
  #shown = false;
  #onHide = () => this.#close();
  #onClick = () => this.#stage.setSilent(this.query.get("voice") === "off");

  /**
   * @param {import("./client/api.js").Api} api
   * @param {URLSearchParams} query `view`, `token`, `avatar`, `pipeline`, `frame`, `background`,
   *   `key`, `voice=off`
   */
  constructor(api, query) {
    this.api = api;
    this.query = query;
    document.documentElement.dataset.view = "clean";
    const background = query.get("background") ?? "";
    if (COLOUR.test(background)) this.#paint(background);
    this.#useKey(query.get("key") ?? "");
    this.#stage.setSilent(query.get("voice") === "off");
    window.addEventListener("pagehide", this.#onHide);
    window.addEventListener("pointerdown", this.#onClick); // where sound needs a click
  }

  async start() {
    this.state = "connecting";
    try {
      const wanted = this.query.get("view") ?? "";
      await (wanted === "self" ? this.#run() : this.#watch(wanted));
    } catch (error) {
      this.#fail(asClientError(error));
    }
  }

  destroy() {
    clearTimeout(this.#retryTimer);
    this.keyed?.destroy();
    window.removeEventListener("pagehide", this.#onHide);
    window.removeEventListener("pointerdown", this.#onClick);
    this.#end();
    this.#microphone.destroy();
    this.#stage.destroy();
    this.#message?.remove();
  }

  /** @param {string} colour */
  #paint(colour) {
    document.documentElement.style.setProperty("--clean-background", colour);
  }

  /** @param {string} key */
  #useKey(key) {
    const colour = KEY.exec(key);
    if (!colour && key !== "transparent") return;
    this.#paint(colour ? `#${colour.slice(1).join("")}` : key);
    const [red, green, blue] = (colour ?? []).slice(1).map((part) => Number.parseInt(part, 16));
    this.keyed = new KeyedPicture(this.#stage.video, colour ? [red, green, blue] : null);
  }

  /** @param {string} id of a session */
  async #watch(id) {
    const viewer = new WhepViewer(this.api, id);
    this.viewer = viewer;
    viewer.addEventListener("lost", (e) => this.#fail(/** @type {CustomEvent} */ (e).detail));
    if (this.keyed) this.keyed.ask = () => viewer.matte();
    await viewer.start();
    await this.#show(viewer.pc, viewer.stream, () => ({}));
  }

  async #run() {
    const avatar = await this.#find(this.query.get("avatar"));
    const pipeline = this.query.get("pipeline") ?? undefined;
    const frame = this.query.get("frame") ?? undefined;
    const session = new Session(this.api, this.#microphone, { avatar, pipeline, frame });
    this.session = session;
    session.addEventListener("lost", (e) => this.#fail(/** @type {CustomEvent} */ (e).detail));
    await session.start("");
    const peer = /** @type {import("./client/peer.js").Peer} */ (session.peer);
    await this.#show(peer.pc, session.stream, () => session.serverStats);
  }

  /** @param {RTCPeerConnection} pc @param {MediaStream | null} stream @param {() => Record<string, unknown>} stats */
  async #show(pc, stream, stats) {
    this.collector = new StatsCollector(pc, this.#stage.video, stats);
    this.state = "live";
    this.#shown = true;
    this.#message?.remove();
    this.#stage.setPhase("live");
    await this.#stage.play(stream);
  }

  /** @param {string | null} key an id or a name @returns {Promise<string | undefined>} id */
  async #find(key) {
    if (key === null) return undefined; // the server has one for each pipeline
    const wanted = key.toLowerCase();
    return (await this.api.avatars()).find((a) => a.name.toLowerCase() === wanted)?.id ?? key;
  }

  /** @param {import("./client/errors.js").ClientError} error */
  #fail(error) {
    this.#end();
    this.state = "failed";
    const { title, advice } = explain(error);
    if (!this.#shown) this.#say(title, advice); // else viewers of a stream would read it
    this.#retryTimer = setTimeout(
      () => this.start(),
      1000 * (error.retryAfterS ?? RETRY_MS / 1000),
    );
  }

  #end() {
    this.collector?.destroy();
    this.collector = null;
    this.#close();
    this.#stage.play(null);
  }

  #close() {
    this.session?.destroy();
    this.viewer?.destroy();
    this.session = this.viewer = null;
  }

  /** @param {string} title @param {string} text */
  #say(title, text) {
    this.#message?.remove();
    this.#message = element(
      "div",
      { class: "clean-message", id: "clean-message", role: "alert" },
      element("h2", {}, title),
      element("p", {}, text),
    );
    byId("stage").after(this.#message);
  }
}
