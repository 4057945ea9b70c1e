import { byId, element } from "./dom.js";
import { asClientError, explain } from "./errors.js";
import { Microphone } from "./microphone.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";
import { StatsCollector } from "./stats.js";

const RETRY_MS = 4000;
const COLOUR = /^(#[0-9a-f]{3,8}|[a-z]+)$/i;

/**
 * The page for OBS and other capture: the avatar and nothing else.
 *
 * `/?view=self&avatar=NAME` starts its own session with the microphone and starts it again whenever
 * it ends. `/?view=SESSION` would watch another's session; that needs WHEP.
 */
export class CleanView {
  /** @type {"connecting" | "live" | "failed"} */ state = "connecting";
  /** @type {Session | null} */ session = null;
  /** @type {StatsCollector | null} */ collector = null;
  avatarState = "idle";
  #stage = new Stage();
  #microphone = new Microphone();
  #retryTimer = 0;
  /** @type {HTMLElement | null} */ #message = null;
  #onHide = () => this.session?.destroy();

  /**
   * @param {import("./api.js").Api} api
   * @param {URLSearchParams} query `view`, `avatar`, `pipeline`, `frame`, `background`, `voice=off`
   */
  constructor(api, query) {
    this.api = api;
    this.query = query;
    document.documentElement.dataset.view = "clean";
    const background = query.get("background") ?? "";
    if (COLOUR.test(background))
      document.documentElement.style.setProperty("--clean-background", background);
    this.#stage.setSilent(query.get("voice") === "off");
    window.addEventListener("pagehide", this.#onHide);
  }

  async start() {
    if (this.query.get("view") !== "self") {
      this.state = "failed";
      this.#say(
        "This session cannot be watched yet",
        "Viewing an existing session needs WHEP, which this server does not offer yet. Use /?view=self&avatar=NAME for a page with its own session.",
      );
      return;
    }
    try {
      await this.#run();
    } catch (error) {
      this.#fail(asClientError(error));
    }
  }

  destroy() {
    clearTimeout(this.#retryTimer);
    window.removeEventListener("pagehide", this.#onHide);
    this.#end();
    this.#microphone.destroy();
    this.#stage.destroy();
    this.#message?.remove();
  }

  async #run() {
    this.state = "connecting";
    const avatar = await this.#find(this.query.get("avatar"));
    const pipeline = this.query.get("pipeline") ?? undefined;
    const frame = this.query.get("frame") ?? undefined;
    const session = new Session(this.api, this.#microphone, { avatar, pipeline, frame });
    this.session = session;
    session.addEventListener("lost", (e) => this.#fail(/** @type {CustomEvent} */ (e).detail));
    await session.start("");
    const peer = /** @type {import("./peer.js").Peer} */ (session.peer);
    this.collector = new StatsCollector(peer.pc, this.#stage.video, () => session.serverStats);
    this.state = "live";
    this.#message?.remove();
    this.#stage.setPhase("live");
    await this.#stage.play(session.stream);
  }

  /** @param {string | null} key an id or a name @returns {Promise<string | undefined>} id */
  async #find(key) {
    if (key === null) return undefined; // the server has one for each pipeline
    const wanted = key.toLowerCase();
    return (await this.api.avatars()).find((a) => a.name.toLowerCase() === wanted)?.id ?? key;
  }

  /** @param {import("./errors.js").ClientError} error */
  #fail(error) {
    this.#end();
    this.state = "failed";
    const { title, advice } = explain(error);
    this.#say(title, advice);
    this.#retryTimer = setTimeout(
      () => this.start(),
      1000 * (error.retryAfterS ?? RETRY_MS / 1000),
    );
  }

  #end() {
    this.collector?.destroy();
    this.collector = null;
    this.session?.destroy();
    this.session = null;
    this.#stage.play(null);
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
