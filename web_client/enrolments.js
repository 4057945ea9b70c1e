const EVERY_MS = 1000;

/**
 * Asks after avatars that are still being prepared until they are ready, or never will be.
 *
 * Events: `progress` (CustomEvent of the Avatar as it is now), `gone` (CustomEvent of its id).
 */
export class Enrolments extends EventTarget {
  /** @type {Set<string>} */ #ids = new Set();
  #timer = 0;

  /** @param {import("./client/api.js").Api} api */
  constructor(api) {
    super();
    this.api = api;
  }

  /** @param {import("./client/api.js").Avatar[]} avatars of which those still enrolling are asked after */
  follow(avatars) {
    for (const { id, state } of avatars) if (state === "enrolling") this.#ids.add(id);
    if (this.#ids.size && !this.#timer) this.#timer = setTimeout(() => this.#ask(), EVERY_MS);
  }

  destroy() {
    clearTimeout(this.#timer);
    this.#ids.clear();
  }

  async #ask() {
    await Promise.all([...this.#ids].map((id) => this.#askAfter(id)));
    this.#timer = 0;
    this.follow([]);
  }

  /** @param {string} id */
  async #askAfter(id) {
    try {
      const avatar = await this.api.avatar(id);
      if (avatar.state !== "enrolling") this.#ids.delete(id);
      this.dispatchEvent(new CustomEvent("progress", { detail: avatar }));
    } catch (error) {
      if (/** @type {any} */ (error).status !== 404) return; // the server may come back
      this.#ids.delete(id);
      this.dispatchEvent(new CustomEvent("gone", { detail: id }));
    }
  }
}
