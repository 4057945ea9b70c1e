import { element } from "./dom.js";

const STEPS_IN_RANGE = 40;
const FINER_STEPS = [0.1, 0.05, 0.01];

/**
 * A step that reaches both ends and the default, which a slider would else move to its next step.
 *
 * @param {number} min @param {number} max @param {number} value the default
 * @returns {number}
 */
function stepOf(min, max, value) {
  const even = (max - min) / STEPS_IN_RANGE;
  const whole = (/** @type {number} */ steps) => Math.abs(steps - Math.round(steps)) < 1e-6;
  const fits = (/** @type {number} */ step) =>
    step <= max - min && whole((value - min) / step) && whole((max - min) / step);
  return [even, ...FINER_STEPS].find(fits) ?? even / 100;
}

/**
 * The sliders for the avatar's temperament, as the pipeline describes them.
 *
 * Events: `change` (CustomEvent of `{[name]: value}` with the sliders that moved).
 */
export class Controls extends EventTarget {
  /** @type {import("./client/api.js").Control[]} */ #controls = [];
  #onInput = (/** @type {Event} */ e) => this.#onSlider(/** @type {HTMLInputElement} */ (e.target));
  #onReset = () => this.#reset();

  /** @param {HTMLElement} root @param {HTMLElement} reset */
  constructor(root, reset) {
    super();
    this.root = root;
    this.reset = reset;
    root.addEventListener("input", this.#onInput);
    reset.addEventListener("click", this.#onReset);
  }

  /** @param {import("./client/api.js").Control[]} controls */
  show(controls) {
    this.#controls = controls;
    this.root.replaceChildren(...controls.map((control) => this.#slider(control)));
    for (const input of this.#inputs()) this.#paint(input);
  }

  /** @returns {Record<string, number>} values that differ from their defaults */
  changed() {
    const moved = this.#inputs().filter(
      (input) => Number(input.value) !== this.#default(input.name),
    );
    return Object.fromEntries(moved.map((input) => [input.name, Number(input.value)]));
  }

  destroy() {
    this.root.removeEventListener("input", this.#onInput);
    this.reset.removeEventListener("click", this.#onReset);
    this.root.replaceChildren();
  }

  /** @returns {HTMLInputElement[]} */
  #inputs() {
    return [...this.root.querySelectorAll("input")];
  }

  /** @param {string} name @returns {number} */
  #default(name) {
    return this.#controls.find((c) => c.name === name)?.default ?? 1;
  }

  /** @param {import("./client/api.js").Control} control */
  #slider({ name, summary, min, max, default: value }) {
    const shown = name.replace(/_/g, " ").replace(/^./, (c) => c.toUpperCase());
    const input = element("input", {
      type: "range",
      id: `control-${name}`,
      name,
      min: String(min),
      max: String(max),
      step: String(stepOf(min, max, value)),
      value: String(value),
      "aria-description": summary,
    });
    return element(
      "div",
      { class: "control", title: summary },
      element("label", { for: `control-${name}` }, shown),
      element("output", { for: `control-${name}` }),
      input,
    );
  }

  /** @param {HTMLInputElement} input */
  #onSlider(input) {
    this.#paint(input);
    this.dispatchEvent(
      new CustomEvent("change", { detail: { [input.name]: Number(input.value) } }),
    );
  }

  #reset() {
    for (const input of this.#inputs()) {
      input.value = String(this.#default(input.name));
      this.#paint(input);
    }
    const values = Object.fromEntries(this.#controls.map((c) => [c.name, c.default]));
    this.dispatchEvent(new CustomEvent("change", { detail: values }));
  }

  /** @param {HTMLInputElement} input */
  #paint(input) {
    const share =
      (Number(input.value) - Number(input.min)) / (Number(input.max) - Number(input.min));
    input.style.setProperty("--fill", `${(share * 100).toFixed(1)}%`);
    const natural = this.#default(input.name) || 1; // what 100 % means
    const percent = `${Math.round((Number(input.value) / natural) * 100)} %`;
    input.setAttribute("aria-valuetext", percent);
    const output = input.parentElement?.querySelector("output");
    if (output) output.textContent = percent;
  }
}
