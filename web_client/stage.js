import { Backdrop } from "./backdrop.js";
import { loadPicture } from "./client/api.js";
import { byId, setIcon } from "./dom.js";
import { StepList } from "./step_list.js";

const REST_MS = 2800;
/** A still that comes sooner takes the place of the last face's, without another picture between. */
const PATIENCE_MS = 250;
const WIDE = 16 / 9;
/** Coders want sides of whole blocks: 848x480 is to be 16:9, and must leave no lines at its sides. */
const NEARLY = 0.01;
/** @type {Record<string, {text: string, tone: string}>} */
const STATES = {
  idle: { text: "Idle", tone: "quiet" },
  listening: { text: "Listening", tone: "busy" },
  speaking: { text: "Speaking", tone: "good" },
};
const START = {
  ready: { text: "Start", icon: "wave", action: "start" },
  connecting: { text: "Cancel", icon: "close", action: "cancel" },
  live: { text: "Stop", icon: "stop", action: "stop" },
};

/** @typedef {"ready" | "connecting" | "live"} Phase */

/** The stage: picture, chips, badge and the look of the dock. Knows nothing of the network. */
export class Stage {
  video = /** @type {HTMLVideoElement} */ (byId("avatar-video"));
  #root = byId("stage");
  #backdrop = new Backdrop(/** @type {HTMLCanvasElement} */ (byId("backdrop")));
  #steps = new StepList(byId("steps"));
  #restTimer = 0;
  /** @type {HTMLImageElement | null} */ #still = null;
  /** Width by height of what is seen at rest. */ #shape = 1;
  /** Counts the faces that were to be seen. */ #turn = 0;
  #onMove = () => this.#wake();
  #onShape = () => this.#showShape();
  #onFullscreen = () => this.#showFullscreen();

  constructor() {
    this.#root.addEventListener("pointermove", this.#onMove);
    this.#root.addEventListener("keydown", this.#onMove);
    document.addEventListener("fullscreenchange", this.#onFullscreen);
    for (const type of ["resize", "playing"]) this.video.addEventListener(type, this.#onShape);
  }

  /**
   * @param {import("./client/api.js").Avatar} avatar
   * @param {Promise<string>} still the picture with which its session will begin; until that has
   *   come, and where there is none, its small one is shown
   */
  async showAvatar({ name, image }, still) {
    byId("avatar-name").textContent = name;
    const turn = ++this.#turn;
    const coming = still.then(loadPicture);
    const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
    if (!(await Promise.race([coming, late]))) this.#rest(await loadPicture(image), 1, turn);
    const picture = await coming;
    if (picture) this.#rest(picture, picture.naturalWidth / picture.naturalHeight, turn);
  }

  /** @param {HTMLImageElement | null} picture @param {number} shape @param {number} turn */
  #rest(picture, shape, turn) {
    if (!picture || turn !== this.#turn) return; // another face has been chosen meanwhile
    const poster = /** @type {HTMLImageElement} */ (byId("poster"));
    poster.src = picture.src;
    poster.hidden = false;
    this.#still = picture;
    this.#shape = shape;
    this.#showShape();
  }

  /** @param {Phase} phase */
  setPhase(phase) {
    this.#root.dataset.phase = phase;
    const { text, icon, action } = START[phase];
    const start = /** @type {HTMLButtonElement} */ (byId("start"));
    start.dataset.action = action;
    byId("start-text").textContent = text;
    setIcon(start, icon);
    byId("connecting").hidden = phase !== "connecting";
    byId("state").hidden = byId("interrupt").hidden = phase !== "live";
    if (phase !== "live") this.setAvatarState("idle");
    for (const id of ["record", "view-link"])
      /** @type {HTMLButtonElement} */ (byId(id)).disabled = phase !== "live";
  }

  /** @param {string} step */
  setStep(step) {
    this.#steps.advance(step);
  }

  /** @param {string} state idle, listening or speaking */
  setAvatarState(state) {
    const { text, tone } = STATES[state] ?? STATES.idle;
    this.#root.dataset.avatar = state;
    byId("state").dataset.tone = tone;
    byId("state-text").textContent = text;
  }

  /**
   * @param {MediaStream | null} stream
   * @returns {Promise<boolean>} false if the browser refused to play sound without a click
   */
  async play(stream) {
    this.video.srcObject = stream;
    if (!stream) {
      this.#showShape();
      return true;
    }
    try {
      await this.video.play();
      return true;
    } catch {
      this.video.muted = true;
      await this.video.play().catch(() => undefined); // a stream replaced meanwhile: nothing to play
      return false;
    }
  }

  /** Gives the picture the shape of what is seen: the video's, or the still's. */
  #showShape() {
    const { videoWidth, videoHeight, srcObject } = this.video;
    const live = Boolean(srcObject && videoHeight);
    const sides = live ? videoWidth / videoHeight : this.#shape;
    const shape = Math.abs(sides / WIDE - 1) < NEARLY ? WIDE : sides;
    this.#root.style.setProperty("--aspect", String(shape));
    if (shape !== 1) this.#backdrop.showBehind(live ? this.video : this.#still);
    else if (this.#still) this.#backdrop.show(this.#still);
  }

  /** @param {number | null} seconds null when nothing is being recorded */
  setRecording(seconds) {
    byId("recording").hidden = seconds === null;
    this.#press("record", seconds !== null, "Stop recording", "Record to a file", "R");
    if (seconds === null) return;
    const whole = Math.floor(seconds);
    byId("recording-time").textContent =
      `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  }

  /** @param {boolean} muted */
  setMuted(muted) {
    setIcon(byId("mute"), muted ? "mic-off" : "mic");
    this.#press("mute", muted, "Unmute microphone", "Mute microphone", "M");
  }

  /** @param {boolean} silent */
  setSilent(silent) {
    this.video.muted = silent;
    setIcon(byId("speaker"), silent ? "speaker-off" : "speaker");
    this.#press("speaker", silent, "Let the avatar be heard", "Silence the avatar's voice", "V");
  }

  /** @param {boolean} shown */
  setStats(shown) {
    byId("stats-panel").hidden = !shown;
    this.#press("stats", shown, "Hide measurements", "Show measurements", "S");
  }

  /** @param {boolean} shown */
  setBadge(shown) {
    byId("badge").hidden = !shown;
  }

  toggleFullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.#root.requestFullscreen) this.#root.requestFullscreen();
    else /** @type {any} */ (this.video).webkitEnterFullscreen?.(); // iPhone: the video alone
  }

  destroy() {
    clearTimeout(this.#restTimer);
    this.#root.removeEventListener("pointermove", this.#onMove);
    this.#root.removeEventListener("keydown", this.#onMove);
    document.removeEventListener("fullscreenchange", this.#onFullscreen);
    this.#steps.destroy();
    this.#backdrop.destroy();
    for (const type of ["resize", "playing"]) this.video.removeEventListener(type, this.#onShape);
    this.video.srcObject = null;
  }

  #showFullscreen() {
    const full = document.fullscreenElement === this.#root;
    setIcon(byId("fullscreen"), full ? "shrink" : "expand");
    this.#press("fullscreen", full, "Leave full screen", "Full screen", "F");
    this.#wake();
  }

  /** In full screen the dock leaves when the pointer rests. */
  #wake() {
    this.#root.classList.remove("resting");
    clearTimeout(this.#restTimer);
    if (document.fullscreenElement !== this.#root) return;
    this.#restTimer = setTimeout(() => this.#root.classList.add("resting"), REST_MS);
  }

  /** @param {string} id @param {boolean} on @param {string} onLabel @param {string} offLabel @param {string} key */
  #press(id, on, onLabel, offLabel, key) {
    const button = byId(id);
    button.setAttribute("aria-pressed", String(on)); // the name stays, the state changes
    button.title = `${on ? onLabel : offLabel} (${key})`;
  }
}
