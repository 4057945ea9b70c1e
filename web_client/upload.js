import { byId } from "./dom.js";
import { asClientError } from "./client/errors.js";
import { explain, isExplained, mayRetryAlone } from "./errors.js";
import { SwapField } from "./swap_field.js";
import { UploadResult } from "./upload_result.js";

/** By name: browsers disagree about the types of videos. @type {Record<string, string[]>} */
const ENDINGS = {
  photo: [".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".gif", ".mpo"],
  video: [".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi"],
};
/** @type {Record<string, string>} */
const RULES = {
  photo: "One face, looking at the camera, well lit, mouth closed. JPEG, PNG, WebP, HEIC or AVIF.",
  video: "Videos: MP4, MOV, WebM, MKV or AVI.",
};
/** What becomes of a video, by whether the pipeline keeps it. */
const TALK = {
  learnt:
    "10 to 60 seconds of the person talking to the camera, with sound. It is used to learn how they " +
    "move their lips. What is kept is the photo and what was learnt, some numbers; the video and " +
    "its sound are deleted right after.",
  kept:
    "A video is one take of 2 to 60 seconds, of one person who looks at the camera: best when they " +
    "speak for some of it and listen for some. It is kept on this server until you remove the face.",
};
const MAX_NAME = 40;

/**
 * The dialog that turns a photo or a video into an avatar: drop, pick or paste, preview, name,
 * a video of the person talking beside a photo, or a face to put in, progress, and what became of it.
 *
 * Events: `created` (CustomEvent of an Avatar).
 */
export class UploadDialog extends EventTarget {
  #dialog = /** @type {HTMLDialogElement} */ (byId("upload-dialog"));
  #file = /** @type {HTMLInputElement} */ (byId("upload-file"));
  #name = /** @type {HTMLInputElement} */ (byId("upload-name"));
  #preview = /** @type {HTMLImageElement} */ (byId("upload-preview"));
  #video = /** @type {HTMLVideoElement} */ (byId("upload-video"));
  #talk = /** @type {HTMLInputElement} */ (byId("upload-talk-file"));
  #submit = /** @type {HTMLButtonElement} */ (byId("upload-submit"));
  #result;
  #swap = new SwapField();
  /** @type {File | null} */ #chosen = null;
  #keepsVideo = true;
  /** @type {string[]} kinds of material that are taken */ #kinds = ["photo"];
  #pipeline = "";
  /** @type {AbortController | null} */ #sending = null;
  #listeners = new AbortController();

  /** @param {import("./client/api.js").Api} api */
  constructor(api) {
    super();
    this.api = api;
    this.#result = new UploadResult(api);
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
    on(this.#talk, "change", () => this.#showError(""));
    on(this.#swap, "change", () => this.#showError(""));
    on(byId("upload-again"), "click", () => {
      this.#reset();
      this.#file.click();
    });
    on(byId("upload-done"), "click", () => this.#dialog.close());
    on(this.#preview, "error", () => this.#showName());
    on(byId("upload-form"), "submit", (e) => {
      e.preventDefault();
      this.#send();
    });
    on(document, "dragover", (e) => this.#onDrag(e));
    on(document, "dragleave", (e) => !e.relatedTarget && this.#highlight(false));
    on(document, "drop", (e) => this.#onDrop(e));
    on(document, "paste", (e) => this.#onPaste(e));
  }

  /** Takes what a pipeline can be given. @param {import("./client/api.js").Pipeline} pipeline */
  usePipeline({ name, accepts, keeps_video: keepsVideo }) {
    this.#pipeline = name;
    this.#keepsVideo = keepsVideo;
    this.#kinds = Object.keys(ENDINGS).filter((kind) => accepts.includes(kind));
    this.#file.accept = this.#kinds.flatMap((kind) => ENDINGS[kind]).join(",");
    this.#prompt();
    byId("upload-rules").textContent = this.#kinds.map((kind) => RULES[kind]).join(" ");
    this.#talk.accept = ENDINGS.video.join(",");
    this.#swap.offer(accepts.includes("source"), ENDINGS.photo.join(","));
    this.#offerVideo("");
  }

  /** Asks for a video where one may go beside the chosen file. @param {string} chosen kind, or "" */
  #offerVideo(chosen) {
    const beside = this.#kinds.length > 1 && !this.#keepsVideo;
    byId("upload-talk").hidden = !beside || chosen === "video";
    byId("upload-talk-hint").hidden = !beside && (chosen || this.#kinds.at(-1)) !== "video";
    const alone = "Its best picture becomes the photo. ";
    byId("upload-talk-hint").textContent = this.#keepsVideo
      ? TALK.kept
      : (chosen === "video" ? alone : "") + TALK.learnt;
  }

  #prompt() {
    const what = `a ${this.#kinds.join(" or a ")}`;
    const drops = matchMedia("(hover: hover)").matches; // a finger drags nothing here
    byId("upload-what").textContent = drops ? `Drop ${what} here, or choose one` : `Choose ${what}`;
    byId("upload-prompt").hidden = false;
  }

  /** Of a photo of a kind that the browser cannot show, such as HEIC. */
  #showName() {
    this.#hidePreview();
    this.#prompt();
    byId("upload-what").textContent = this.#chosen?.name ?? "";
  }

  /** @param {File} [file] */
  open(file) {
    if (!this.#dialog.open) this.#dialog.showModal();
    if (file) this.#choose(file);
  }

  destroy() {
    this.#listeners.abort();
    this.#dialog.close();
    this.#reset();
    this.#result.destroy();
    this.#swap.destroy();
  }

  /** @param {File | undefined} file */
  #choose(file) {
    if (!file) return;
    this.#showError("");
    const kind = kindOf(file);
    if (!this.#kinds.includes(kind)) {
      this.#showError(`This is not a file we can use. ${byId("upload-rules").textContent}`);
      return;
    }
    this.#chosen = file;
    this.#offerVideo(kind);
    this.#hidePreview();
    const preview = kind === "video" ? this.#video : this.#preview;
    preview.src = URL.createObjectURL(file);
    preview.hidden = false;
    byId("upload-prompt").hidden = true;
    if (!this.#name.value) this.#name.value = nameFrom(file.name);
    this.#submit.disabled = false;
    this.#name.focus();
    this.#name.select();
  }

  async #send() {
    if (!this.#chosen || this.#sending) return;
    if (this.#swap.missing) return this.#showError(this.#swap.missing);
    this.#sending = new AbortController();
    this.#submit.disabled = true;
    this.#showError("");
    this.#showProgress(0);
    const name = this.#name.value.trim() || nameFrom(this.#chosen.name);
    const kind = kindOf(this.#chosen);
    const talk = (kind === "photo" && this.#talk.files?.[0]) || null;
    const { face, consent } = this.#swap;
    try {
      const avatar = await this.api.createAvatar(
        this.#chosen,
        { name, kind, talk, face, consent, pipeline: this.#pipeline },
        (sent) => this.#showProgress(sent),
        this.#sending.signal,
      );
      if (avatar.state === "ready") this.#showResult(avatar);
      else this.#dialog.close();
      this.dispatchEvent(new CustomEvent("created", { detail: avatar }));
    } catch (error) {
      this.#onError(asClientError(error));
    } finally {
      this.#sending = null;
      byId("upload-progress").hidden = true;
      this.#submit.disabled = !this.#chosen;
    }
  }

  /** @param {import("./client/api.js").Avatar} avatar */
  #showResult(avatar) {
    this.#reset();
    byId("upload-ask").hidden = true;
    this.#result.show(avatar, this.#pipeline);
    byId("upload-done").focus();
  }

  /** @param {import("./client/errors.js").ClientError} error */
  #onError(error) {
    if (error.code === "aborted") return;
    const { title, advice } = explain(error);
    // The server words its own reasons (no face, several faces, too small ...) for the reader.
    const own = !isExplained(error) && error.message !== error.code;
    const help = mayRetryAlone(error) ? "Try again in a moment." : advice; // nothing retries here
    this.#showError(own ? error.message : `${title}. ${help}`);
  }

  /** @param {string} text */
  #showError(text) {
    byId("upload-error").textContent = text;
    byId("upload-error").hidden = !text;
    if (text) byId("upload-error").scrollIntoView({ block: "nearest" });
  }

  /** @param {number} sent share, 0..1 */
  #showProgress(sent) {
    const progress = byId("upload-progress");
    progress.hidden = false;
    progress.dataset.phase = sent < 1 ? "sending" : "working";
    byId("upload-bar").style.setProperty("--done", `${Math.round(sent * 100)}%`);
    byId("upload-status").textContent =
      sent < 1 ? "Sending it to the server" : "Finding the face and getting it ready";
  }

  #hidePreview() {
    for (const shown of [this.#preview, this.#video]) {
      URL.revokeObjectURL(shown.src);
      shown.removeAttribute("src");
      shown.hidden = true;
    }
    this.#video.load(); // lets go of the file
  }

  #reset() {
    this.#sending?.abort();
    this.#result.hide();
    byId("upload-ask").hidden = false;
    this.#hidePreview();
    this.#prompt();
    this.#chosen = null;
    this.#file.value = this.#name.value = this.#talk.value = "";
    this.#swap.reset();
    this.#offerVideo("");
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

/** @param {File} file @returns {string} "photo", "video" or "" */
function kindOf(file) {
  const name = file.name.toLowerCase();
  const kinds = Object.keys(ENDINGS);
  const named = kinds.find((kind) => ENDINGS[kind].some((ending) => name.endsWith(ending)));
  if (named) return named;
  return { image: "photo", video: "video" }[file.type.split("/")[0]] ?? "";
}

/** @param {string} fileName @returns {string} a name for people, from the name of a file */
function nameFrom(fileName) {
  const words = fileName
    .replace(/\.[^.]*$/, "")
    .replace(/[_\-.]+/g, " ")
    .trim();
  return (words.charAt(0).toUpperCase() + words.slice(1)).slice(0, MAX_NAME);
}
