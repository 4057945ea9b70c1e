import { element, icon } from "./dom.js";

const COLUMN_TOLERANCE_PX = 8;

/**
 * The gallery of faces: a listbox with roving focus.
 *
 * Events: `choose` (CustomEvent of an Avatar), `remove` (CustomEvent of an Avatar).
 */
export class AvatarGallery extends EventTarget {
  /** @type {import("./client/api.js").Avatar[]} */ avatars = [];
  /** @type {string | null} */ selectedId = null;
  #onClick = (/** @type {MouseEvent} */ e) => this.#handleClick(e);
  #onKey = (/** @type {KeyboardEvent} */ e) => this.#handleKey(e);

  /** @param {HTMLElement} root */
  constructor(root) {
    super();
    this.root = root;
    root.addEventListener("click", this.#onClick);
    root.addEventListener("keydown", this.#onKey);
  }

  /** @returns {import("./client/api.js").Avatar | null} */
  get selected() {
    return this.find(this.selectedId);
  }

  /** @param {string | null} key id or name */
  find(key) {
    const wanted = key?.toLowerCase();
    const byId = this.avatars.find((a) => a.id === key);
    return byId ?? this.avatars.find((a) => a.name.toLowerCase() === wanted) ?? null;
  }

  /** Placeholders while the list is on its way. @param {number} count */
  showGhosts(count) {
    const ghosts = Array.from({ length: count }, () =>
      element(
        "div",
        { class: "tile-wrap" },
        element(
          "div",
          { class: "tile ghost" },
          element("span", { class: "tile-picture" }),
          element("span", { class: "tile-name" }, " "),
        ),
      ),
    );
    this.root.replaceChildren(...ghosts);
  }

  /** @param {import("./client/api.js").Avatar[]} avatars */
  show(avatars) {
    this.avatars = avatars;
    this.root.replaceChildren(...avatars.map((avatar) => this.#tile(avatar)));
    const first = avatars.find((a) => a.state === "ready");
    this.select(this.selected?.state === "ready" ? this.selectedId : (first?.id ?? null));
  }

  /** @param {string | null} id */
  select(id) {
    this.selectedId = id;
    for (const tile of this.#tiles()) {
      const chosen = tile.dataset.id === id;
      tile.setAttribute("aria-selected", String(chosen));
      tile.tabIndex = chosen ? 0 : -1;
    }
    if (!this.selected && this.#tiles()[0]) this.#tiles()[0].tabIndex = 0;
  }

  /** Marks a face that the server is still preparing. @param {string | null} id */
  setBusy(id) {
    for (const tile of this.#tiles())
      tile.setAttribute("aria-busy", String(tile.dataset.id === id));
  }

  /** Brings the chosen tile into view. */
  reveal() {
    const tile = this.#tiles().find((t) => t.dataset.id === this.selectedId);
    tile?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  destroy() {
    this.root.removeEventListener("click", this.#onClick);
    this.root.removeEventListener("keydown", this.#onKey);
    this.root.replaceChildren();
  }

  /** @returns {HTMLElement[]} */
  #tiles() {
    return [...this.root.querySelectorAll("[role=option]")].map(
      (t) => /** @type {HTMLElement} */ (t),
    );
  }

  /** Shows how far a face's enrolment is. @param {import("./client/api.js").Avatar} avatar */
  update(avatar) {
    this.avatars = this.avatars.map((a) => (a.id === avatar.id ? avatar : a));
    const tile = this.#tiles().find((t) => t.dataset.id === avatar.id);
    if (!tile) return;
    if (tile.dataset.state === avatar.state && avatar.state === "enrolling")
      this.#paint(tile, avatar);
    else {
      const focused = tile === document.activeElement;
      tile.parentElement?.replaceWith(this.#tile(avatar));
      this.select(this.selectedId);
      if (focused) this.#tiles().find((t) => t.dataset.id === avatar.id)?.focus();
    }
  }

  /** @param {HTMLElement} tile @param {import("./client/api.js").Avatar} avatar */
  #paint(tile, { name, progress, stage }) {
    const percent = `${Math.round((progress ?? 0) * 100)} %`;
    tile.style.setProperty("--done", percent.replace(" ", ""));
    tile.title = `${name}: ${stage} (${percent})`;
    tile.setAttribute("aria-label", `${name}, being prepared, ${percent}`);
    const words = tile.querySelector(".tile-stage");
    if (words) words.textContent = stage ?? "";
  }

  /** @param {import("./client/api.js").Avatar} avatar @returns {(Element)[]} */
  #picture(avatar) {
    if (avatar.state === "failed") return [icon("alert")];
    if (avatar.state === "enrolling")
      return [icon("photo"), element("span", { class: "tile-progress" }, element("i"))];
    const image = { src: avatar.image, alt: "", loading: "lazy", draggable: "false" };
    return [element("img", image)];
  }

  /** @param {import("./client/api.js").Avatar} avatar */
  #tile(avatar) {
    const tile = element(
      "div",
      {
        class: "tile",
        role: "option",
        "data-id": avatar.id,
        "data-state": avatar.state,
        "aria-label": avatar.state === "failed" ? `${avatar.name}, failed` : avatar.name,
        title: avatar.error?.message ?? "",
      },
      element("span", { class: "tile-picture" }, ...this.#picture(avatar)),
      element("span", { class: "tile-name" }, avatar.name),
    );
    if (avatar.state === "enrolling") {
      tile.append(element("span", { class: "tile-stage" }));
      this.#paint(tile, avatar);
    }
    const wrap = element("div", { class: "tile-wrap", role: "none" }, tile);
    if (avatar.kind === "upload") {
      wrap.append(
        element(
          "button",
          {
            class: "tile-remove",
            type: "button",
            "data-remove": avatar.id,
            "aria-label": `Remove ${avatar.name}`,
            title: `Remove ${avatar.name}`,
          },
          icon("close"),
        ),
      );
    }
    return wrap;
  }

  /** @param {MouseEvent} event */
  #handleClick(event) {
    const target = /** @type {Element} */ (event.target);
    const removed = target.closest("[data-remove]")?.getAttribute("data-remove");
    if (removed) this.#emit("remove", removed);
    else this.#emit("choose", target.closest("[role=option]")?.getAttribute("data-id"));
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    const tiles = this.#tiles();
    const at = tiles.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (at < 0) return;
    const columns = this.#columns(tiles);
    /** @type {Record<string, number>} */
    const moves = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: columns,
      ArrowUp: -columns,
      Home: -at,
      End: tiles.length - 1 - at,
    };
    if (event.key in moves) {
      const to = Math.min(tiles.length - 1, Math.max(0, at + moves[event.key]));
      tiles[to].focus();
    } else if (event.key === "Enter" || event.key === " ") {
      this.#emit("choose", tiles[at].dataset.id);
    } else if (event.key === "Delete" && tiles[at].parentElement?.querySelector("[data-remove]")) {
      this.#emit("remove", tiles[at].dataset.id);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {HTMLElement[]} tiles @returns {number} tiles per row, as laid out now */
  #columns(tiles) {
    const left = tiles[0].getBoundingClientRect().left;
    const next = tiles.findIndex(
      (t, i) => i > 0 && Math.abs(t.getBoundingClientRect().left - left) < COLUMN_TOLERANCE_PX,
    );
    return next > 0 ? next : 1;
  }

  /** @param {string} type @param {string | null | undefined} id */
  #emit(type, id) {
    const avatar = this.avatars.find((a) => a.id === id);
    if (avatar) this.dispatchEvent(new CustomEvent(type, { detail: avatar }));
  }
}
