import { asClientError } from "./client/errors.js";
import { explain } from "./errors.js";
import { Recorder } from "./recorder.js";

const TICK_MS = 500;

/** Starts and saves recordings, and shows how long the running one is. */
export class RecordButton {
  /** @type {Recorder | null} */ #recorder = null;
  #timer = 0;

  /**
   * @param {import("./stage.js").Stage} stage
   * @param {import("./toasts.js").Toasts} toasts
   */
  constructor(stage, toasts) {
    this.stage = stage;
    this.toasts = toasts;
  }

  /**
   * @param {MediaStream} stream
   * @param {string} name of the avatar
   */
  toggle(stream, name) {
    if (this.#recorder) this.stop();
    else this.#start(stream, name);
  }

  /** Ends and saves the recording, if one is running. */
  async stop() {
    const recorder = this.#recorder;
    if (!recorder) return;
    this.#recorder = null;
    clearInterval(this.#timer);
    this.stage.setRecording(null);
    this.toasts.show(`Saved “${await recorder.save()}”`);
  }

  destroy() {
    clearInterval(this.#timer);
    this.#recorder?.destroy();
    this.#recorder = null;
  }

  /** @param {MediaStream} stream @param {string} name */
  #start(stream, name) {
    let recorder;
    try {
      recorder = new Recorder(stream, name);
    } catch (error) {
      this.toasts.show(explain(asClientError(error)).title);
      return;
    }
    const tick = () => this.stage.setRecording(recorder.elapsedS);
    this.#recorder = recorder;
    this.#timer = setInterval(tick, TICK_MS);
    tick();
  }
}
