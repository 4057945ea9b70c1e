import { byId, element } from "./dom.js";

/** What a frame shows, in words. @type {Record<string, string>} */
const WORDS = {
  square: "Head and shoulders",
  photo: "The whole photo",
  "16:9": "Wide, 16:9",
};

/**
 * What the picture shows around the face; out of sight where the pipeline leaves no choice.
 *
 * Events: `change`.
 */
export class FramePicker extends EventTarget {
  #select = /** @type {HTMLSelectElement} */ (byId("frame"));
  #onChange = () => {
    this.preferences.set("frame", this.#select.value);
    this.dispatchEvent(new Event("change"));
  };

  /** @param {import("./preferences.js").Preferences} preferences */
  constructor(preferences) {
    super();
    this.preferences = preferences;
    this.#select.addEventListener("change", this.#onChange);
  }

  /** The name of the frame, if there is a choice. @returns {string | undefined} */
  get chosen() {
    return this.#select.options.length > 1 ? this.#select.value : undefined;
  }

  /** A session keeps the frame it began with. @param {boolean} inSession */
  set inSession(inSession) {
    this.#select.disabled = inSession;
  }

  /** @param {import("./client/api.js").Pipeline} pipeline whose frames are on offer */
  show({ frame, frames = [] }) {
    this.#select.replaceChildren(
      ...frames.map(({ name }) => element("option", { value: name }, WORDS[name] ?? name)),
    );
    const wanted = this.preferences.get("frame", frame);
    this.#select.value = frames.some(({ name }) => name === wanted) ? wanted : frame;
    byId("frame-choice").hidden = frames.length < 2;
  }

  destroy() {
    this.#select.removeEventListener("change", this.#onChange);
  }
}
