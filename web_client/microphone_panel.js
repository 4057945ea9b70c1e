import { byId, element } from "./dom.js";
import { asClientError } from "./client/errors.js";
import { explain } from "./errors.js";
import { LevelMeter } from "./level_meter.js";

/** Picks the microphone, tests it, shows its level before and during the session. */
export class MicrophonePanel {
  #select = /** @type {HTMLSelectElement} */ (byId("microphone"));
  #test = byId("microphone-test");
  #hint = byId("microphone-hint");
  #meter;
  #silent = false;
  #inSession = false;
  #onDevices = () => this.#list();
  #onChange = () => this.#show();
  #onSelect = () => this.#choose();
  #onTest = () => this.#toggleTest();

  /**
   * @param {import("./client/microphone.js").Microphone} microphone
   * @param {import("./preferences.js").Preferences} preferences
   */
  constructor(microphone, preferences) {
    this.microphone = microphone;
    this.preferences = preferences;
    this.#meter = new LevelMeter(microphone, [byId("level"), byId("mute")], (silent) =>
      this.#onSilence(silent),
    );
    microphone.addEventListener("devices", this.#onDevices);
    microphone.addEventListener("change", this.#onChange);
    this.#select.addEventListener("change", this.#onSelect);
    this.#test.addEventListener("click", this.#onTest);
    this.#list();
  }

  /** @returns {string} "" for the system's default */
  get deviceId() {
    return this.#select.value;
  }

  /** @param {boolean} inSession the session needs the microphone: no test button */
  set inSession(inSession) {
    this.#inSession = inSession;
    this.#show();
  }

  /** Shows the mute on the meter. */
  refresh() {
    this.#show();
  }

  destroy() {
    this.#meter.destroy();
    this.microphone.removeEventListener("devices", this.#onDevices);
    this.microphone.removeEventListener("change", this.#onChange);
    this.#select.removeEventListener("change", this.#onSelect);
    this.#test.removeEventListener("click", this.#onTest);
  }

  async #list() {
    const devices = (await this.microphone.devices()).filter((d) => d.deviceId !== "default");
    const options = devices.map((d, i) =>
      element("option", { value: d.deviceId }, d.label || `Microphone ${i + 1}`),
    );
    this.#select.replaceChildren(
      element("option", { value: "" }, "Default microphone"),
      ...options,
    );
    const wanted = this.preferences.get("microphone", "");
    if (devices.some((d) => d.deviceId === wanted)) this.#select.value = wanted;
  }

  async #choose() {
    this.preferences.set("microphone", this.#select.value || null);
    if (this.microphone.isOpen || this.#inSession) await this.#open();
  }

  async #toggleTest() {
    if (this.microphone.isOpen) this.microphone.close();
    else await this.#open();
  }

  async #open() {
    try {
      await this.microphone.open(this.deviceId);
    } catch (error) {
      const { title, advice } = explain(asClientError(error));
      this.#hint.textContent = `${title}. ${advice}`;
    }
  }

  /** @param {boolean} silent */
  #onSilence(silent) {
    if (silent === this.#silent) return;
    this.#silent = silent;
    this.#show();
  }

  #show() {
    const { isOpen, muted } = this.microphone;
    byId("level").dataset.muted = String(muted);
    this.#test.hidden = this.#inSession;
    this.#test.textContent = isOpen ? "Stop test" : "Test";
    if (isOpen) this.#list();
    else this.#meter.reset();
    this.#hint.textContent = this.#message(isOpen, muted);
  }

  /** @param {boolean} isOpen @param {boolean} muted @returns {string} */
  #message(isOpen, muted) {
    if (!isOpen && this.#inSession)
      return "The microphone went away. Plug it in again, or choose another one.";
    if (!isOpen) return "Test it, or just press Start.";
    if (muted) return "Muted. Press M to speak again.";
    if (this.#silent) return "We hear nothing. Is the right microphone chosen, and switched on?";
    return "Say something: the bar should follow your voice.";
  }
}
