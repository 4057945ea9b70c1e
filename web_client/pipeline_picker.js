import { byId, element } from "./dom.js";

/**
 * Which of the loaded pipelines draws the face; out of sight where there is one only.
 *
 * Events: `change` (CustomEvent of the Pipeline now chosen).
 */
export class PipelinePicker extends EventTarget {
  /** @type {import("./client/api.js").Pipeline[]} */ #pipelines = [];
  #select = /** @type {HTMLSelectElement} */ (byId("pipeline"));
  #onChange = () => this.#changed();

  /** @param {import("./preferences.js").Preferences} preferences */
  constructor(preferences) {
    super();
    this.preferences = preferences;
    this.#select.addEventListener("change", this.#onChange);
  }

  /** @returns {import("./client/api.js").Pipeline | null} */
  get chosen() {
    return this.#pipelines.find((p) => p.name === this.#select.value) ?? null;
  }

  /** A session keeps the pipeline it began with. @param {boolean} inSession */
  set inSession(inSession) {
    this.#select.disabled = inSession;
  }

  /** @param {import("./client/api.js").Pipeline[]} pipelines all that the server knows, default first */
  show(pipelines) {
    const loaded = pipelines.filter((p) => p.loaded);
    this.#pipelines = loaded.length ? loaded : pipelines.slice(0, 1);
    this.#select.replaceChildren(
      ...this.#pipelines.map(({ name }) => element("option", { value: name }, name)),
    );
    const wanted = this.preferences.get("pipeline", "");
    if (this.#pipelines.some((p) => p.name === wanted)) this.#select.value = wanted;
    byId("pipeline-choice").hidden = this.#pipelines.length < 2;
    this.#changed();
  }

  destroy() {
    this.#select.removeEventListener("change", this.#onChange);
  }

  #changed() {
    if (!this.chosen) return;
    byId("pipeline-hint").textContent = this.chosen.summary;
    this.preferences.set("pipeline", this.#pipelines.length > 1 ? this.chosen.name : null);
    this.dispatchEvent(new CustomEvent("change", { detail: this.chosen }));
  }
}
