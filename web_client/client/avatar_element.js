import { Api, loadPicture } from "./api.js";
import { ClientError, asClientError, inWords } from "./errors.js";
import { Microphone } from "./microphone.js";
import { Session } from "./session.js";
import { openSpeech } from "./speech.js";
import { WhepViewer } from "./whep_viewer.js";

const LOOK = `
  :host { display: inline-block; position: relative; width: 320px; aspect-ratio: 1; overflow: hidden; background: #1d2126; }
  :host([frame="16:9"]) { width: 568px; aspect-ratio: 16 / 9; }
  img, video { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; }
  video { opacity: 0; transition: opacity 0.2s; }
  :host([state="live"]) video { opacity: 1; }
  button {
    position: absolute; inset: 0; width: 100%; border: 0; padding: 8%; cursor: pointer;
    background: none; color: white; font: 600 1rem system-ui, sans-serif; text-align: center;
    text-shadow: 0 0 6px black, 0 0 2px black; display: flex; align-items: end;
    justify-content: center;
  }
  button:focus-visible { outline: 3px solid; outline-offset: -6px; }
  :host([state="live"]) button, :host([state="connecting"]) button { display: none; }
`;

/**
 * `<vivavoce-avatar>`: an avatar in any page.
 *
 * Attributes, read when a session starts:
 *   avatar      id or name; by default the server's
 *   audio       `microphone` (default): it says what the user says. `push`: it says what `push` is
 *               given, and listens to the microphone if there is the attribute `listen`
 *   rate        of pushed samples, in Hz; 24000 by default
 *   server      its address; by default the one that this module came from
 *   token       where the server asks for one
 *   pipeline, frame, size   as in `POST /v1/sessions`
 *   session     the id of a session that somebody else has opened: it is watched, none is opened,
 *               and what opens one is not looked at
 *   muted       plays no sound
 *   autostart   starts by itself; without it, the user presses on it, or the page calls `start`
 * `state` mirrors what it does: `ready`, `connecting`, `live`, `failed`.
 *
 * Events: `state` (CustomEvent of that), `server` (CustomEvent of a protocol event), `failed`
 * (CustomEvent of a ClientError).
 */
export class AvatarElement extends HTMLElement {
  /** @type {Session | null} */ session = null;
  /** @type {WhepViewer | null} */ viewer = null;
  /** @type {import("./speech.js").Speech | null} */ #speech = null;
  /** @type {Microphone | null} */ #microphone = null;
  #picture = document.createElement("img");
  #button = document.createElement("button");
  #onHide = () => this.stop();
  #onPress = () => {
    window.removeEventListener("pointerdown", this.#onPress);
    this.video.muted = this.hasAttribute("muted");
  };

  constructor() {
    super();
    this.video = document.createElement("video");
    this.video.playsInline = this.video.autoplay = true;
    this.#picture.alt = "";
    this.#picture.crossOrigin = "anonymous"; // the server lets only pages that it knows show it
    this.#button.type = "button";
    this.#button.addEventListener("click", () => this.start().catch(() => {}));
    const style = document.createElement("style");
    style.textContent = LOOK;
    this.attachShadow({ mode: "open" }).append(style, this.#picture, this.video, this.#button);
  }

  connectedCallback() {
    window.addEventListener("pagehide", this.#onHide);
    this.#become("ready", "Start");
    this.#showPicture();
    if (this.hasAttribute("autostart")) this.start().catch(() => {});
  }

  disconnectedCallback() {
    this.destroy();
  }

  /** @returns {string} `ready`, `connecting`, `live` or `failed` */
  get state() {
    return this.getAttribute("state") ?? "ready";
  }

  /** @returns {string | null} the session's id, for those who join it */
  get sessionId() {
    return this.session?.id ?? this.viewer?.id ?? null;
  }

  /** @returns {Microphone | null} what the session hears, while there is one */
  get microphone() {
    return this.#microphone;
  }

  get #pushed() {
    return this.getAttribute("audio") === "push";
  }

  /** Begins a session, or watches one. Throws a ClientError. */
  async start() {
    if (this.session || this.viewer) return;
    const watched = this.#value("session");
    const begun = watched ? this.#watch(watched) : this.#open();
    const whose = this.session ?? this.viewer;
    this.#become("connecting");
    try {
      await begun;
    } catch (error) {
      if (whose !== (this.session ?? this.viewer)) return; // stopped meanwhile
      this.#fail(asClientError(error));
      throw error;
    }
    if (whose === (this.session ?? this.viewer)) this.#become("live");
  }

  async #open() {
    const api = this.#api();
    const hears = !this.#pushed || this.hasAttribute("listen");
    this.#microphone = hears ? new Microphone() : null;
    const session = new Session(api, this.#microphone, {});
    this.session = session;
    session.addEventListener("server", (e) => this.#tell("server", detailOf(e)));
    session.addEventListener("lost", (e) => this.#fail(detailOf(e)));
    session.choice = await this.#choice(api);
    await session.start();
    if (this.#pushed) {
      this.#speech = await openSpeech(api, String(session.id), Number(this.#value("rate") ?? 24_000));
    }
    await this.#play(session.stream);
  }

  /** @param {string} id */
  async #watch(id) {
    const viewer = new WhepViewer(this.#api(), id);
    this.viewer = viewer;
    viewer.addEventListener("lost", (e) => this.#fail(detailOf(e)));
    await viewer.start();
    if (viewer === this.viewer) await this.#play(viewer.stream);
  }

  /** Ends the session; one that is only watched goes on. */
  stop() {
    this.#end();
    this.#become("ready", "Start");
  }

  /**
   * Has it say this, after what it was given before. For `audio="push"`.
   * @param {Int16Array | Float32Array} samples mono, at `rate`
   */
  async push(samples) {
    await this.#spoken.push(samples);
  }

  /** What was pushed is a whole utterance. */
  commit() {
    this.#spoken.commit();
  }

  /** Has it fall silent and forget what it was about to say. */
  interrupt() {
    this.session?.interrupt();
  }

  destroy() {
    window.removeEventListener("pagehide", this.#onHide);
    this.#end();
  }

  get #spoken() {
    if (!this.#speech) throw new ClientError("not_live", { message: 'needs audio="push", and to be live' });
    return this.#speech;
  }

  /** @param {string} name @returns {string | undefined} */
  #value(name) {
    return this.getAttribute(name) || undefined;
  }

  #api() {
    return new Api(this.#value("token"), this.#value("server"));
  }

  /** @param {Api} api @returns {Promise<import("./api.js").Choice>} */
  async #choice(api) {
    const wanted = this.#value("avatar");
    return {
      avatar: wanted && ((await this.#find(api))?.id ?? wanted),
      pipeline: this.#value("pipeline"),
      frame: this.#value("frame"),
      size: this.#value("size"),
      audio: this.#pushed ? "push" : "microphone",
    };
  }

  /**
   * The one of the attribute, or that which the server takes without it.
   * @param {Api} api @returns {Promise<import("./api.js").Avatar | undefined>}
   */
  async #find(api) {
    const wanted = this.#value("avatar");
    const known = await api.avatars();
    const pipeline = this.#value("pipeline");
    if (!wanted) {
      const suits = known.filter((a) => !pipeline || a.pipelines.includes(pipeline));
      return suits.find((a) => a.state === "ready");
    }
    const name = wanted.toLowerCase();
    return known.find((a) => a.id === wanted) ?? known.find((a) => a.name.toLowerCase() === name);
  }

  /** Until there is a moving one: at once as it was given, then as a session of it begins. */
  async #showPicture() {
    const api = this.#api();
    const unknown = this.hasAttribute("session") && !this.hasAttribute("avatar"); // whose face it is
    this.#show(this.#picture.src);
    try {
      const avatar = unknown ? undefined : await this.#find(api);
      if (!avatar) return;
      this.#show(avatar.image);
      const choice = { pipeline: this.#value("pipeline"), frame: this.#value("frame") };
      const still = await loadPicture(await api.still(avatar, choice)); // may have to be drawn first
      if (still) this.#show(still.src);
    } catch {
      // `start` says what is wrong.
    }
  }

  /** @param {string} picture its address; empty: none, which browsers would put a frame around */
  #show(picture) {
    if (picture) this.#picture.src = picture;
    this.#picture.hidden = !picture;
  }

  /** @param {MediaStream | null} stream */
  async #play(stream) {
    this.video.srcObject = stream;
    this.video.muted = this.hasAttribute("muted");
    try {
      await this.video.play();
    } catch {
      this.video.muted = true; // the browser wants a gesture before sound: any press on the page
      window.addEventListener("pointerdown", this.#onPress);
      await this.video.play();
    }
  }

  /** @param {ClientError} error */
  #fail(error) {
    this.#end();
    this.#become("failed", `${inWords(error)}. Try again`);
    this.#tell("failed", error);
  }

  #end() {
    window.removeEventListener("pointerdown", this.#onPress);
    this.#speech?.destroy();
    this.session?.destroy();
    this.viewer?.destroy();
    this.#microphone?.destroy();
    this.#speech = this.session = this.viewer = this.#microphone = null;
    this.video.srcObject = null;
  }

  /** @param {string} state @param {string} [label] of the button */
  #become(state, label = "") {
    this.#button.textContent = label;
    if (state === this.getAttribute("state")) return;
    this.setAttribute("state", state);
    this.#tell("state", state);
  }

  /** @param {string} type @param {unknown} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {Event} event */
function detailOf(event) {
  return /** @type {CustomEvent} */ (event).detail;
}
