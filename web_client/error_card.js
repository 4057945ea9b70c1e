import { byId } from "./dom.js";
import { STEPS } from "./client/errors.js";
import { explain, mayRetryAlone } from "./errors.js";
import { StepList } from "./step_list.js";

/**
 * Says what went wrong, where, and what to do; counts down to the next try when the server is full.
 *
 * Events: `retry`, `dismiss`.
 */
export class ErrorCard extends EventTarget {
  /** @type {import("./client/errors.js").ClientError | null} */ error = null;
  #root = byId("error");
  #retry = byId("error-retry");
  #steps = new StepList(byId("error-steps"));
  #timer = 0;
  #onRetry = () => this.#emit("retry");
  #onDismiss = () => this.#emit("dismiss");

  constructor() {
    super();
    this.#retry.addEventListener("click", this.#onRetry);
    byId("error-dismiss").addEventListener("click", this.#onDismiss);
  }

  /** @param {import("./client/errors.js").ClientError} error */
  show(error) {
    this.error = error;
    const { title, text, advice } = explain(error);
    byId("error-title").textContent = title;
    byId("error-text").textContent = text;
    byId("error-advice").textContent = advice;
    this.#root.dataset.code = error.code;
    this.#root.dataset.step = error.step ?? "";
    const atStep = STEPS.some((step) => step.id === error.step);
    byId("error-steps").hidden = !atStep;
    if (atStep) this.#steps.fail(/** @type {string} */ (error.step));
    this.#root.hidden = false;
    this.#root.focus({ preventScroll: true });
    clearInterval(this.#timer);
    this.#retry.textContent = "Try again";
    if (mayRetryAlone(error)) this.#countDown(Math.max(1, Math.ceil(error.retryAfterS ?? 1)));
  }

  hide() {
    clearInterval(this.#timer);
    this.error = null;
    this.#root.hidden = true;
  }

  destroy() {
    this.hide();
    this.#steps.destroy();
    this.#retry.removeEventListener("click", this.#onRetry);
    byId("error-dismiss").removeEventListener("click", this.#onDismiss);
  }

  /** @param {number} seconds */
  #countDown(seconds) {
    let left = seconds;
    const tick = () => {
      this.#retry.textContent = `Try now (${left} s)`;
      if (left-- <= 0) this.#emit("retry");
    };
    this.#timer = setInterval(tick, 1000);
    tick();
  }

  /** @param {string} type */
  #emit(type) {
    this.hide();
    this.dispatchEvent(new Event(type));
  }
}
