import { keepToken } from "./credential.js";
import { byId } from "./dom.js";
import { asClientError } from "./client/errors.js";
import { explain } from "./errors.js";

/** Asks for a key or token where the server wants one, and loads the page again with it. */
export class KeyDialog {
  #dialog = /** @type {HTMLDialogElement} */ (byId("key-dialog"));
  #field = /** @type {HTMLInputElement} */ (byId("key-field"));
  #listeners = new AbortController();

  /** @param {import("./client/api.js").Api} api */
  constructor(api) {
    this.api = api;
    const { signal } = this.#listeners;
    byId("key-form").addEventListener("submit", (e) => this.#enter(e), { signal });
  }

  open() {
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  destroy() {
    this.#listeners.abort();
    this.#dialog.close();
  }

  /** @param {Event} event */
  async #enter(event) {
    event.preventDefault();
    const problem = byId("key-error");
    problem.hidden = true;
    try {
      keepToken(await this.api.tokenFor(this.#field.value.trim()));
      location.reload();
    } catch (error) {
      const { title, advice } = explain(asClientError(error));
      problem.textContent = `${title}. ${advice}`;
      problem.hidden = false;
    }
  }
}
