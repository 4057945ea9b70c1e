import { element } from "./dom.js";
import { STEPS } from "./client/errors.js";

const STATE_TEXT = { done: "done", active: "in progress", failed: "failed", waiting: "" };

/** The steps to a talking face, drawn as a row: done, in progress, failed. */
export class StepList {
  /** @param {HTMLElement} root an ordered list */
  constructor(root) {
    this.root = root;
    root.replaceChildren(...STEPS.map(({ label }) => element("li", {}, label)));
  }

  /** @param {string} id the step in progress */
  advance(id) {
    this.#paint(id, "active");
  }

  /** @param {string} id the step that failed */
  fail(id) {
    this.#paint(id, "failed");
  }

  destroy() {
    this.root.replaceChildren();
  }

  /** @param {string} id @param {"active" | "failed"} state */
  #paint(id, state) {
    const at = STEPS.findIndex((step) => step.id === id);
    [...this.root.children].forEach((item, i) => {
      const own = i < at ? "done" : i === at ? state : "waiting";
      const li = /** @type {HTMLElement} */ (item);
      li.dataset.state = own;
      li.setAttribute("aria-label", `${STEPS[i].label} ${STATE_TEXT[own]}`.trim());
    });
  }
}
