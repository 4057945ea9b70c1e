/** Below this level for this long, an open microphone counts as silent. */
const SILENT_LEVEL = 0.12;
const SILENT_AFTER_MS = 6000;
const FALL_PER_SECOND = 2.2;
const INTERVAL_MS = 50;

/** Draws the microphone's level, with a quick rise and a soft fall. */
export class LevelMeter {
  #timer;
  #shown = 0;
  #lastMs = 0;
  #heardMs = performance.now();

  /**
   * @param {import("./client/microphone.js").Microphone} microphone
   * @param {HTMLElement[]} targets get the CSS variable `--level`; the first is the ARIA meter
   * @param {(silent: boolean) => void} onSilence called while the microphone is open
   */
  constructor(microphone, targets, onSilence) {
    this.microphone = microphone;
    this.targets = targets;
    this.onSilence = onSilence;
    this.#timer = setInterval(() => this.#draw(performance.now()), INTERVAL_MS);
  }

  /** Starts the wait for a first sound again. */
  reset() {
    this.#heardMs = performance.now();
  }

  destroy() {
    clearInterval(this.#timer);
  }

  /** @param {number} nowMs */
  #draw(nowMs) {
    const fall = (FALL_PER_SECOND * Math.max(0, nowMs - this.#lastMs)) / 1000;
    this.#lastMs = nowMs;
    const level = Math.max(this.microphone.level(), this.#shown - fall, 0);
    if (level > SILENT_LEVEL || this.microphone.muted) this.#heardMs = nowMs;
    if (this.microphone.isOpen) this.onSilence(nowMs - this.#heardMs > SILENT_AFTER_MS);
    if (level === this.#shown) return;
    this.#shown = level;
    for (const target of this.targets) target.style.setProperty("--level", level.toFixed(3));
    this.targets[0].setAttribute("aria-valuenow", String(Math.round(level * 100)));
  }
}
