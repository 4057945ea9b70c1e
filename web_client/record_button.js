import { asClientError } from "./client/errors.js";
import { explain } from "./errors.js";
import { record } from "./recorder.js";

const TICK_MS = 500;

/** Starts and saves recordings, and shows how long the running one is. */
export class RecordButton {
  /** @type {import("./recorder.js").Recorder | null} */ #recorder = null;
  #starting = false;
  #timer = 0;

  /**
   * @param {import("./client/api.js").Api} api
   * @param {import("./stage.js").Stage} stage
   * @param {import("./toasts.js").Toasts} toasts
   */
  constructor(api, stage, toasts) {
    this.api = api;
    this.stage = stage;
    this.toasts = toasts;
  }

  /**
   * @param {string} session its id
   * @param {string} name of the avatar
   */
  toggle(session, name) {
    if (this.#recorder) this.stop();
    else if (!this.#starting) this.#start(session, name);
  }

  /** Ends and saves the recording, if one is running. */
  async stop() {
    const recorder = this.#recorder;
    if (!recorder) return;
    this.#recorder = null;
    clearInterval(this.#timer);
    this.stage.setRecording(null);
    const saved = await recorder.save();
    if (!saved) this.toasts.show("There was nothing to record yet.");
    else if (saved.whole) this.toasts.show(`Saved “${saved.name}”`);
    else
      this.toasts.show(
        `The connection broke: saved what had come as “${saved.name}”. Players may not know how long it is.`,
      );
  }

  destroy() {
    clearInterval(this.#timer);
    this.#recorder?.destroy();
    this.#recorder = null;
  }

  /** @param {string} session @param {string} name */
  async #start(session, name) {
    this.#starting = true;
    try {
      const recorder = await record(this.api, session, name);
      this.#recorder = recorder;
      recorder.ended.then(() => this.#recorder === recorder && this.stop());
      const tick = () => this.stage.setRecording(recorder.elapsedS);
      this.#timer = setInterval(tick, TICK_MS);
      tick();
    } catch (error) {
      this.toasts.show(explain(asClientError(error)).title);
    } finally {
      this.#starting = false;
    }
  }
}
