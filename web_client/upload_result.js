import { byId, element } from "./dom.js";

/** What became of an upload: the face as it will be drawn, moving, and what would make it better. */
export class UploadResult {
  #root = byId("upload-result");
  #clip = /** @type {HTMLImageElement} */ (byId("upload-clip"));

  /** @param {import("./client/api.js").Api} api */
  constructor(api) {
    this.api = api;
    this.#clip.addEventListener("load", () => this.#root.removeAttribute("aria-busy"));
    this.#clip.addEventListener("error", () => this.#showStill());
  }

  /** @param {import("./client/api.js").Avatar} avatar @param {string} pipeline that draws it */
  show(avatar, pipeline) {
    this.#clip.dataset.still = avatar.image;
    this.#clip.style.backgroundImage = `url("${avatar.image}")`; // until the clip is drawn
    this.#load(avatar, pipeline);
    this.#clip.alt = `${avatar.name} as it will be drawn`;
    this.#root.setAttribute("aria-busy", "true");
    this.#root.hidden = false;
    const advice = avatar.advice ?? [];
    byId("upload-verdict").textContent = advice.length
      ? `${avatar.name} is ready. What would make it better:`
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

  /** @param {import("./client/api.js").Avatar} avatar @param {string} pipeline */
  async #load(avatar, pipeline) {
    const clip = await this.api.preview(avatar.id, pipeline);
    if (this.#clip.dataset.still !== avatar.image) return; // another one is shown by now
    if (clip) this.#clip.src = clip;
    else this.#showStill();
  }

  /** Where the pipeline draws no clips. */
  #showStill() {
    const { still } = this.#clip.dataset;
    this.#clip.dataset.still = "";
    if (still) this.#clip.src = still;
  }
}
