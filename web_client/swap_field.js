import { byId } from "./dom.js";

/**
 * Another face to put into what an avatar is made of, and the statement that its person agrees:
 * out of sight where the pipeline takes none.
 *
 * Events: `change` (another face was chosen, or its person agreed).
 */
export class SwapField extends EventTarget {
  #file = /** @type {HTMLInputElement} */ (byId("upload-swap-file"));
  #agreed = /** @type {HTMLInputElement} */ (byId("upload-consent"));
  #listeners = new AbortController();

  constructor() {
    super();
    const { signal } = this.#listeners;
    for (const input of [this.#file, this.#agreed])
      input.addEventListener("change", () => this.#changed(), { signal });
  }

  /** @param {boolean} offered @param {string} accept what a file dialog is to show */
  offer(offered, accept) {
    byId("upload-swap").hidden = !offered;
    this.#file.accept = accept;
    this.reset();
  }

  /** @returns {File | null} a photo of the face */
  get face() {
    return this.#file.files?.[0] ?? null;
  }

  /** The sentence that is kept with the avatar; "" as long as nobody agreed. @returns {string} */
  get consent() {
    return this.#agreed.checked ? byId("upload-consent-words").textContent.trim() : "";
  }

  /** What is still missing, in words; "" if nothing. @returns {string} */
  get missing() {
    const unsaid = this.face && !this.consent;
    return unsaid ? "Say that the person agrees whose face is put in." : "";
  }

  reset() {
    this.#file.value = "";
    this.#agreed.checked = false;
    byId("upload-consent-field").hidden = true;
  }

  destroy() {
    this.#listeners.abort();
    this.reset();
  }

  #changed() {
    byId("upload-consent-field").hidden = !this.face;
    if (!this.face) this.#agreed.checked = false;
    this.dispatchEvent(new Event("change"));
  }
}
