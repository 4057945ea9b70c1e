import { AvatarGallery } from "./avatars.js";
import { byId } from "./dom.js";
import { asClientError } from "./client/errors.js";
import { explain } from "./errors.js";
import { Enrolments } from "./enrolments.js";
import { UploadDialog } from "./upload.js";

/** @typedef {import("./client/api.js").Avatar} Avatar */

const GHOSTS = 8;

/**
 * Which face is worn: the gallery, uploads and removals, and the change of face in a session.
 *
 * Events: `show` (CustomEvent of the Avatar now to be seen), `browse` (another one was picked).
 */
export class FacePicker extends EventTarget {
  /** The live session whose face follows the gallery. @type {import("./client/session.js").Session | null} */
  #session = null;
  #gallery = new AvatarGallery(byId("gallery"));
  #upload;
  #enrolments;
  /** The pipeline whose faces are shown; null: all. @type {string | null} */ #pipeline = null;
  /** @type {Avatar[]} those of every pipeline */ #all = [];
  /** The face to return to if the server refuses the change. @type {string | null} */
  #before = null;

  /**
   * @param {import("./client/api.js").Api} api
   * @param {import("./toasts.js").Toasts} toasts
   */
  constructor(api, toasts) {
    super();
    this.api = api;
    this.toasts = toasts;
    this.#upload = new UploadDialog(api);
    this.#enrolments = new Enrolments(api);
    this.#gallery.addEventListener("choose", (e) => this.#choose(detailOf(e)));
    this.#gallery.addEventListener("remove", (e) => this.#remove(detailOf(e)));
    this.#upload.addEventListener("created", (e) => this.#onCreated(detailOf(e)));
    this.#enrolments.addEventListener("progress", (e) => this.#onProgress(detailOf(e)));
    this.#enrolments.addEventListener("gone", () => this.#refresh(this.#gallery.selectedId));
  }

  /** @returns {Avatar | null} */
  get chosen() {
    return this.#gallery.selected;
  }

  /** @param {import("./client/session.js").Session | null} session */
  set session(session) {
    this.#session = session;
    if (!session) this.#settle(this.chosen);
  }

  /** Shows the faces that a pipeline can use. @param {import("./client/api.js").Pipeline} pipeline */
  usePipeline(pipeline) {
    this.#pipeline = pipeline.name;
    this.#upload.usePipeline(pipeline);
    if (this.#all.length) this.#show(this.#gallery.selectedId);
  }

  /** Fetches the faces. @param {string} wanted id or name of the one to begin with */
  async load(wanted) {
    this.#gallery.showGhosts(GHOSTS);
    try {
      await this.#refresh(wanted);
    } catch (error) {
      this.#gallery.show([]);
      throw error;
    }
  }

  /** The server has changed something. @param {string | undefined} face the one now in force */
  onUpdated(face) {
    if (this.#before && (!face || face === this.chosen?.id)) this.#settle(this.chosen);
  }

  /** The server has refused something; if it was the new face, the old one returns. */
  onRefused() {
    if (this.#before) this.#settle(this.#gallery.find(this.#before));
  }

  destroy() {
    this.#gallery.destroy();
    this.#upload.destroy();
    this.#enrolments.destroy();
  }

  /** @param {string | null} wanted id or name */
  async #refresh(wanted) {
    this.#all = await this.api.avatars();
    this.#enrolments.follow(this.#all);
    this.#show(wanted);
  }

  /** @param {string | null} wanted id or name */
  #show(wanted) {
    const own = this.#pipeline;
    this.#gallery.show(own ? this.#all.filter((a) => a.pipelines.includes(own)) : this.#all);
    const named = this.#gallery.find(wanted);
    const face = named?.state === "ready" ? named : this.#gallery.selected;
    byId("gallery-hint").textContent = face ? "" : "No faces yet: bring your own.";
    if (face) this.#settle(face);
    this.#gallery.reveal();
  }

  /** @param {Avatar | null} avatar */
  #settle(avatar) {
    this.#before = null;
    this.#gallery.setBusy(null);
    if (!avatar) return;
    this.#gallery.select(avatar.id);
    this.dispatchEvent(new CustomEvent("show", { detail: avatar }));
  }

  /** @param {Avatar} avatar */
  async #choose(avatar) {
    const before = this.#gallery.selectedId;
    if (avatar.id === before) return;
    if (avatar.state === "enrolling")
      return this.toasts.show(`${avatar.name} is still being prepared: ${avatar.stage}.`);
    if (avatar.state === "failed") return this.toasts.show(avatar.error?.message ?? "It failed.");
    this.dispatchEvent(new Event("browse"));
    if (!this.#session) return this.#settle(avatar);
    this.#before ??= before;
    this.#gallery.select(avatar.id);
    this.#gallery.setBusy(avatar.id);
    try {
      if (await this.#session.changeAvatar(avatar.id)) this.onUpdated(avatar.id);
    } catch (error) {
      this.toasts.show(explain(asClientError(error)).title);
      this.onRefused();
    }
  }

  /** @param {Avatar} avatar */
  async #onCreated(avatar) {
    await this.#refresh(this.#gallery.selectedId);
    if (avatar.state !== "ready")
      return this.toasts.show(`${avatar.name} is being prepared. You can go on meanwhile.`);
    this.toasts.show(`${avatar.name} is ready.`);
    const created = this.#gallery.find(avatar.id);
    if (created) await this.#choose(created);
    this.#gallery.reveal();
  }

  /** @param {Avatar} avatar as it is now */
  #onProgress(avatar) {
    this.#all = this.#all.map((a) => (a.id === avatar.id ? avatar : a));
    this.#gallery.update(avatar);
    if (avatar.state === "ready") this.toasts.show(`${avatar.name} is ready. ${avatar.note ?? ""}`);
    if (avatar.state === "failed")
      this.toasts.show(`${avatar.name} could not be made. ${avatar.error?.message ?? ""}`);
  }

  /** @param {Avatar} avatar */
  async #remove(avatar) {
    const what = avatar.state === "enrolling" ? "Cancel" : "Remove";
    if (!confirm(`${what} ${avatar.name}? It will be deleted from this server.`)) return;
    try {
      await this.api.deleteAvatar(avatar.id);
      await this.#refresh(this.#gallery.selectedId);
    } catch (error) {
      const { text } = explain(asClientError(error));
      this.toasts.show(`Could not remove ${avatar.name}. ${text}`);
    }
  }
}

/** @param {Event} event @returns {any} */
function detailOf(event) {
  return /** @type {CustomEvent} */ (event).detail;
}
