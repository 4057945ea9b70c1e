import { byId } from "./dom.js";
import { asClientError, explain, isExplained } from "./errors.js";

const TYPES = ["image/jpeg", "image/png", "image/webp"];
const MAX_NAME = 40;

/**
 * The dialog that turns a photo into an avatar: drop, pick or paste, preview, name, progress.
 *
 * Events: `created` (CustomEvent of an Avatar).
 */
export class UploadDialog extends EventTarget {
  #dialog = /** @type {HTMLDialogElement} */ (byId("upload-dialog"));
  #file = /** @type {HTMLInputElement} */ (byId("upload-file"));
  #name = /** @type {HTMLInputElement} */ (byId("upload-name"));
  #preview = /** @type {HTMLImageElement} */ (byId("upload-preview"));
  #submit = /** @type {HTMLButtonElement} */ (byId("upload-submit"));
  /** @type {File | null} */ #image = null;
  /** @type {AbortController | null} */ #sending = null;
  #listeners = new AbortController();

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    super();
    this.api = api;
    const on = (
      /** @type {EventTarget} */ target,
      /** @type {string} */ type,
      /** @type {(e: any) => void} */ run,
    ) => target.addEventListener(type, run, { signal: this.#listeners.signal });
    on(byId("upload-tile"), "click", () => this.open());
    on(byId("upload-close"), "click", () => this.#dialog.close());
    on(byId("upload-cancel"), "click", () => this.#dialog.close());
    on(this.#dialog, "close", () => this.#reset());
    on(this.#file, "change", () => this.#choose(this.#file.files?.[0]));
    on(byId("upload-form"), "submit", (e) => {
      e.preventDefault();
      this.#send();
    });
    on(document, "dragover", (e) => this.#onDrag(e));
    on(document, "dragleave", (e) => !e.relatedTarget && this.#highlight(false));
    on(document, "drop", (e) => this.#onDrop(e));
    on(document, "paste", (e) => this.#onPaste(e));
  }

  /** @param {File} [image] */
  open(image) {
    if (!this.#dialog.open) this.#dialog.showModal();
    if (image) this.#choose(image);
  }

  destroy() {
    this.#listeners.abort();
    this.#dialog.close();
    this.#reset();
  }

  /** @param {File | undefined} image */
  #choose(image) {
    if (!image) return;
    this.#showError("");
    if (!TYPES.includes(image.type)) {
      this.#showError("This is not a photo we can read. Use a JPEG, PNG or WebP file.");
      return;
    }
    this.#image = image;
    URL.revokeObjectURL(this.#preview.src);
    this.#preview.src = URL.createObjectURL(image);
    this.#preview.hidden = false;
    byId("upload-prompt").hidden = true;
    if (!this.#name.value) this.#name.value = nameFrom(image.name);
    this.#submit.disabled = false;
    this.#name.focus();
    this.#name.select();
  }

  async #send() {
    if (!this.#image || this.#sending) return;
    this.#sending = new AbortController();
    this.#submit.disabled = true;
    this.#showError("");
    this.#showProgress(0);
    const name = this.#name.value.trim() || nameFrom(this.#image.name);
    try {
      const avatar = await this.api.createAvatar(
        this.#image,
        name,
        (sent) => this.#showProgress(sent),
        this.#sending.signal,
      );
      this.#dialog.close();
      this.dispatchEvent(new CustomEvent("created", { detail: avatar }));
    } catch (error) {
      this.#onError(asClientError(error));
    } finally {
      this.#sending = null;
      byId("upload-progress").hidden = true;
      this.#submit.disabled = !this.#image;
    }
  }

  /** @param {import("./errors.js").ClientError} error */
  #onError(error) {
    if (error.code === "aborted") return;
    const { title, advice } = explain(error);
    // The server words its own reasons (no face, several faces, too small ...) for the reader.
    const own = !isExplained(error) && error.message !== error.code;
    this.#showError(own ? error.message : `${title}. ${advice}`);
  }

  /** @param {string} text */
  #showError(text) {
    byId("upload-error").textContent = text;
    byId("upload-error").hidden = !text;
  }

  /** @param {number} sent share, 0..1 */
  #showProgress(sent) {
    const progress = byId("upload-progress");
    progress.hidden = false;
    progress.dataset.phase = sent < 1 ? "sending" : "working";
    byId("upload-bar").style.setProperty("--done", `${Math.round(sent * 100)}%`);
    byId("upload-status").textContent =
      sent < 1 ? "Sending the photo" : "Finding the face and getting it ready";
  }

  #reset() {
    this.#sending?.abort();
    URL.revokeObjectURL(this.#preview.src);
    this.#preview.removeAttribute("src");
    this.#preview.hidden = true;
    byId("upload-prompt").hidden = false;
    this.#image = null;
    this.#file.value = this.#name.value = "";
    this.#submit.disabled = true;
    this.#showError("");
    this.#highlight(false);
  }

  /** @param {DragEvent} event */
  #onDrag(event) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    this.#highlight(true);
  }

  /** @param {DragEvent} event */
  #onDrop(event) {
    const image = event.dataTransfer?.files[0];
    if (!image) return;
    event.preventDefault();
    this.#highlight(false);
    this.open(image);
  }

  /** @param {ClipboardEvent} event */
  #onPaste(event) {
    const image = event.clipboardData?.files[0];
    if (image) this.open(image);
  }

  /** @param {boolean} on */
  #highlight(on) {
    document.body.classList.toggle("dragging", on);
    byId("upload-drop").classList.toggle("over", on);
  }
}

/** @param {string} fileName @returns {string} a name for people, from the name of a file */
function nameFrom(fileName) {
  const words = fileName
    .replace(/\.[^.]*$/, "")
    .replace(/[_\-.]+/g, " ")
    .trim();
  return (words.charAt(0).toUpperCase() + words.slice(1)).slice(0, MAX_NAME);
}
