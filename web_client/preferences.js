/** What the page remembers between visits. Works, forgetfully, where storage is switched off. */
export class Preferences {
  #prefix = "vivavoce.";

  /** @param {string} key @param {string} fallback @returns {string} */
  get(key, fallback) {
    try {
      return localStorage.getItem(this.#prefix + key) ?? fallback;
    } catch {
      return fallback;
    }
  }

  /** @param {string} key @param {string | null} value null forgets */
  set(key, value) {
    try {
      if (value === null) localStorage.removeItem(this.#prefix + key);
      else localStorage.setItem(this.#prefix + key, value);
    } catch {
      // Storage is switched off; the choice holds until the page closes.
    }
  }
}
