import { element } from "./dom.js";

const SHOWN_MS = 4500;

/** Short messages that need no answer. */
export class Toasts {
  /** @type {Set<number>} */ #timers = new Set();

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
  }

  /** @param {string} text */
  show(text) {
    const toast = element("div", { class: "toast" }, text);
    this.root.append(toast);
    while (this.root.childElementCount > 3) this.root.firstElementChild?.remove();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      toast.remove();
    }, SHOWN_MS);
    this.#timers.add(timer);
  }

  destroy() {
    for (const timer of this.#timers) clearTimeout(timer);
    this.root.replaceChildren();
  }
}
