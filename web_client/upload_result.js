import { byId, element } from "./dom.js";

/** What became of an upload: the face as it will be drawn, moving, and what would make it better. */
export class UploadResult {
  #root = byId("upload-result");
  #clip = /** @type {HTMLImageElement} */ (byId("upload-clip"));

  constructor() {
    this.#clip.addEventListener("load", () => this.#root.removeAttribute("aria-busy"));
    this.#clip.addEventListener("error", () => this.#showStill());
  }

  /** @param {import("./api.js").Avatar} avatar @param {string} pipeline that draws it */
  show(avatar, pipeline) {
    const query = pipeline ? `?pipeline=${encodeURIComponent(pipeline)}` : "";
    this.#clip.dataset.still = avatar.image;
    this.#clip.style.backgroundImage = `url("${avatar.image}")`; // until the clip is drawn
    this.#clip.src = `${avatar.image.replace(/image$/, "preview")}${query}`;
    this.#clip.alt = `${avatar.name} as it will be drawn`;
    this.#root.setAttribute("aria-busy", "true");
    this.#root.hidden = false;
    const advice = avatar.advice ?? [];
    byId("upload-verdict").textContent = advice.length
      ? `${avatar.name} is ready. It would look better still:`
      : `${avatar.name} is ready, and the photo is a good one.`;
    byId("upload-advice").replaceChildren(
      ...advice.map(({ message }) => element("li", {}, message)),
    );
  }

  hide() {
    this.#root.hidden = true;
    this.#clip.removeAttribute("src");
    this.#clip.dataset.still = "";
  }

  destroy() {
    this.hide();
  }

  /** Where the pipeline draws no clips. */
  #showStill() {
    const { still } = this.#clip.dataset;
    this.#clip.dataset.still = "";
    if (still) this.#clip.src = still;
  }
}
