import { setIcon } from "./dom.js";

const ORDER = ["auto", "light", "dark"];
/** @type {Record<string, string>} */
const ICONS = { auto: "auto", light: "sun", dark: "moon" };
/** @type {Record<string, string>} */
const LABELS = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

/** The theme button: as the system, light, dark; remembered. */
export class ThemeToggle {
  #onClick = () => this.#set(ORDER[(ORDER.indexOf(this.theme) + 1) % ORDER.length]);

  /** @param {HTMLElement} button @param {import("./preferences.js").Preferences} preferences */
  constructor(button, preferences) {
    this.button = button;
    this.preferences = preferences;
    this.theme = "auto";
    const remembered = preferences.get("theme", "auto");
    this.#set(ORDER.includes(remembered) ? remembered : "auto");
    button.addEventListener("click", this.#onClick);
  }

  destroy() {
    this.button.removeEventListener("click", this.#onClick);
  }

  /** @param {string} theme */
  #set(theme) {
    this.theme = theme;
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    this.preferences.set("theme", theme === "auto" ? null : theme);
    setIcon(this.button, ICONS[theme]);
    this.button.setAttribute("aria-label", LABELS[theme]);
    this.button.title = LABELS[theme];
  }
}
