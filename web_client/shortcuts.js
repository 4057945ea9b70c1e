const TYPING = 'input, select, textarea, [contenteditable="true"]';
const ACTIVATING = 'button, a, summary, label, [role="option"]';

/** Single-key shortcuts that never get in the way of typing or of a focused control. */
export class Shortcuts {
  #onKey = (/** @type {KeyboardEvent} */ event) => this.#handle(event);

  /** @param {Record<string, () => void>} actions by key, lower case; `start` for Space and Enter */
  constructor(actions) {
    this.actions = actions;
    document.addEventListener("keydown", this.#onKey);
  }

  destroy() {
    document.removeEventListener("keydown", this.#onKey);
  }

  /** @param {KeyboardEvent} event */
  #handle(event) {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const target = /** @type {Element} */ (event.target);
    const isRange = target.matches('input[type="range"], input[type="checkbox"]');
    if (target.matches(TYPING) && !isRange) return;
    const starts = event.key === " " || event.key === "Enter";
    if (starts && (isRange || target.closest(ACTIVATING))) return;
    const action = this.actions[starts ? "start" : event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }
}
