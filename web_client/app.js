import { Controls } from "./controls.js";
import { byId } from "./dom.js";
import { ErrorCard } from "./error_card.js";
import { asSentence } from "./errors.js";
import { asClientError } from "./client/errors.js";
import { FacePicker } from "./face_picker.js";
import { FramePicker } from "./frame_picker.js";
import { Microphone } from "./client/microphone.js";
import { KeyDialog } from "./key_dialog.js";
import { MicrophonePanel } from "./microphone_panel.js";
import { PipelinePicker } from "./pipeline_picker.js";
import { ServerEvent, errorOf } from "./client/protocol.js";
import { RecordButton } from "./record_button.js";
import { Session } from "./client/session.js";
import { Shortcuts } from "./shortcuts.js";
import { SpeedNote } from "./speed_note.js";
import { Stage } from "./stage.js";
import { StatsCollector } from "./stats.js";
import { StatsPanel } from "./stats_panel.js";
import { ThemeToggle } from "./theme.js";
import { Toasts } from "./toasts.js";
import { copyViewLink } from "./view_link.js";

/** @typedef {import("./client/errors.js").ClientError} ClientError */

const READINESS_INTERVAL_MS = 10_000;
const STARTING_INTERVAL_MS = 1500;
const CONTROLS_EVERY_MS = 80;
/** Text and tone by readiness. @type {Record<string, [string, string]>} */
const READINESS_TEXT = {
  ready: ["Server ready", "good"],
  full: ["Server busy", "busy"],
  starting: ["Server starting", "busy"],
  broken: ["Server in trouble", "bad"],
  unreachable: ["Server offline", "bad"],
};
/** Text and tone by connection state. @type {Record<string, [string, string]>} */
const CONNECTION_TEXT = {
  new: ["Connecting", "busy"],
  connecting: ["Connecting", "busy"],
  connected: ["Connected", "good"],
  disconnected: ["Reconnecting", "busy"],
  failed: ["Connection lost", "bad"],
};

/** The whole page: joins the parts, holds at most one session. */
export class App {
  /** @type {"ready" | "connecting" | "live" | "failed"} */ state = "ready";
  /** @type {Session | null} */ session = null;
  /** @type {StatsCollector | null} */ collector = null;
  avatarState = "idle";
  #stage = new Stage();
  #microphone = new Microphone();
  #controls = new Controls(byId("controls"), byId("controls-reset"));
  #errors = new ErrorCard();
  #key;
  #toasts = new Toasts(byId("toasts"));
  #statsPanel = new StatsPanel(byId("stats-panel"));
  #speedNote = new SpeedNote();
  #recording;
  #readyTimer = 0;
  #controlsTimer = 0;
  #microphonePanel;
  #faces;
  #frames;
  #pipelines;
  #theme;
  #shortcuts;
  /** @type {Record<string, number>} sliders moved and not yet sent */ #pendingControls = {};
  #listeners = new AbortController();

  /**
   * @param {import("./client/api.js").Api} api
   * @param {import("./preferences.js").Preferences} preferences
   */
  constructor(api, preferences) {
    this.api = api;
    this.preferences = preferences;
    this.#key = new KeyDialog(api);
    this.#recording = new RecordButton(api, this.#stage, this.#toasts);
    this.#microphonePanel = new MicrophonePanel(this.#microphone, preferences);
    this.#faces = new FacePicker(api, this.#toasts);
    this.#frames = new FramePicker(preferences);
    this.#pipelines = new PipelinePicker(preferences);
    this.#theme = new ThemeToggle(byId("theme"), preferences);
    this.#shortcuts = new Shortcuts({
      start: () => this.toggle(),
      m: () => this.#toggleMute(),
      x: () => this.#interrupt(),
      v: () => this.#setSilent(!this.#stage.video.muted),
      r: () => this.#record(),
      s: () => this.#toggleStats(),
      l: () => this.#copyLink(),
      f: () => this.#stage.toggleFullscreen(),
      "?": () => this.#showHelp(),
    });
    this.#wire();
    this.#stage.setBadge(preferences.get("badge", "off") === "on");
    this.#stage.setStats(preferences.get("stats", "off") === "on");
  }

  /** Fetches the faces and the controls. @param {string | null} wanted avatar id or name */
  async load(wanted) {
    this.#checkReady();
    try {
      this.#pipelines.show(await this.api.pipelines());
      await this.#faces.load(wanted ?? this.preferences.get("avatar", ""));
    } catch (error) {
      this.#fail(asClientError(error));
      return;
    }
  }

  /** Start, cancel or stop, whichever applies. */
  toggle() {
    if (this.state === "live" || this.state === "connecting") this.stop();
    else this.start();
  }

  async start() {
    const avatar = this.#faces.chosen;
    if (!avatar || this.session) return;
    this.#errors.hide();
    const pipeline = this.#pipelines.chosen?.name;
    const choice = { avatar: avatar.id, pipeline, frame: this.#frames.chosen };
    const session = new Session(this.api, this.#microphone, choice);
    this.session = session;
    this.#setState("connecting");
    session.addEventListener("step", (e) =>
      this.#stage.setStep(/** @type {CustomEvent} */ (e).detail),
    );
    session.addEventListener("server", (e) =>
      this.#onServer(/** @type {CustomEvent} */ (e).detail),
    );
    session.addEventListener("connection", () => this.#showConnection());
    session.addEventListener("lost", (e) => this.#fail(/** @type {CustomEvent} */ (e).detail));
    try {
      await session.start(this.#microphonePanel.deviceId);
      await this.#goLive(session);
    } catch (error) {
      if (session === this.session) this.#fail(asClientError(error));
      else if (!this.session) this.#microphone.close(); // cancelled while the browser was still asking
    }
  }

  /** Ends the session, if any, and returns to the gallery's still picture. */
  async stop() {
    await this.#endSession();
    this.#setState("ready");
  }

  destroy() {
    this.#listeners.abort();
    clearTimeout(this.#readyTimer);
    clearTimeout(this.#controlsTimer);
    this.session?.destroy();
    const outer = [
      this.#shortcuts,
      this.#key,
      this.#theme,
      this.#faces,
      this.#pipelines,
      this.#frames,
      this.#microphonePanel,
      this.#controls,
    ];
    const inner = [this.#errors, this.#recording, this.#statsPanel, this.#speedNote, this.#toasts];
    for (const part of [...outer, ...inner, this.#microphone, this.#stage]) part.destroy();
  }

  #wire() {
    const on = (
      /** @type {EventTarget} */ target,
      /** @type {string} */ type,
      /** @type {(e: any) => void} */ run,
    ) => target.addEventListener(type, run, { signal: this.#listeners.signal });
    on(byId("start"), "click", () => this.toggle());
    on(byId("mute"), "click", () => this.#toggleMute());
    on(byId("speaker"), "click", () => this.#setSilent(!this.#stage.video.muted));
    on(byId("interrupt"), "click", () => this.#interrupt());
    on(byId("record"), "click", () => this.#record());
    on(byId("stats"), "click", () => this.#toggleStats());
    on(byId("view-link"), "click", () => this.#copyLink());
    on(byId("fullscreen"), "click", () => this.#stage.toggleFullscreen());
    on(byId("help"), "click", () => this.#showHelp());
    on(byId("tip-close"), "click", () => this.#closeTip());
    on(byId("badge-toggle"), "change", (e) => this.#setBadge(e.target.checked));
    on(this.#faces, "show", (e) => this.#showFace(e.detail));
    on(this.#faces, "browse", () => this.state === "failed" && this.#setState("ready"));
    on(this.#frames, "change", () => this.#faces.chosen && this.#showFace(this.#faces.chosen));
    on(this.#pipelines, "change", (e) => this.#usePipeline(e.detail));
    on(this.#controls, "change", (e) => this.#onControls(e.detail));
    on(this.#errors, "retry", () => this.#retry());
    on(this.#errors, "dismiss", () => this.#setState("ready"));
    on(window, "pagehide", () => this.session?.destroy());
    on(window, "pageshow", (e) => e.persisted && location.reload()); // back from the cache: that session is over
    /** @type {HTMLInputElement} */ (byId("badge-toggle")).checked =
      this.preferences.get("badge", "off") === "on";
  }

  // ---- session ----

  /** @param {Session} session */
  async #goLive(session) {
    const peer = /** @type {import("./client/peer.js").Peer} */ (session.peer);
    this.collector = new StatsCollector(peer.pc, this.#stage.video, () => session.serverStats);
    this.collector.addEventListener("snapshot", (e) => {
      const snapshot = /** @type {CustomEvent} */ (e).detail;
      this.#statsPanel.show(snapshot);
      this.#speedNote.observe(snapshot);
    });
    this.#setState("live");
    this.#faces.session = session;
    const controls = this.#controls.changed();
    if (Object.keys(controls).length) session.setControls(controls);
    const heard = await this.#stage.play(session.stream);
    if (!heard) this.#setSilent(true);
    byId("tip").hidden =
      !heard || this.#stage.video.muted || this.preferences.get("tip", "") === "seen";
  }

  async #endSession() {
    this.#faces.session = null;
    await this.#recording.stop();
    this.collector?.destroy();
    this.collector = null;
    this.session?.destroy();
    this.session = null;
    this.#microphone.close();
    this.#stage.play(null);
    this.#statsPanel.clear();
    this.#speedNote.clear();
    byId("tip").hidden = true;
  }

  /** @param {ClientError} error */
  async #fail(error) {
    await this.#endSession();
    if (error.code === "aborted") return this.#setState("ready");
    this.#setState("failed");
    this.#errors.show(error);
    if (error.code === "unauthorized") this.#key.open();
  }

  #retry() {
    this.#setState("ready");
    if (this.#faces.chosen) this.start();
    else location.reload();
  }

  /** @param {App["state"]} state */
  #setState(state) {
    this.state = state;
    this.#stage.setPhase(state === "failed" ? "ready" : state);
    byId("welcome").hidden = state === "failed";
    const inSession = state === "live" || state === "connecting";
    for (const part of [this.#microphonePanel, this.#pipelines, this.#frames])
      part.inSession = inSession;
    if (state !== "failed") this.#errors.hide();
    this.#showConnection();
  }

  /** @param {import("./client/protocol.js").ProtocolEvent} event */
  #onServer(event) {
    if (event.type === ServerEvent.AVATAR_STATE) {
      this.avatarState = String(event.state);
      this.#stage.setAvatarState(this.avatarState);
    } else if (event.type === ServerEvent.SESSION_UPDATED) {
      this.#faces.onUpdated(/** @type {any} */ (event).session?.avatar);
    } else if (event.type === ServerEvent.OUTPUT_CLEARED) {
      this.#toasts.show("Stopped speaking.");
    } else if (event.type === ServerEvent.ERROR) {
      this.#toasts.show(asSentence(errorOf(event).message || "the server reported an error"));
      this.#faces.onRefused();
    }
  }

  #showConnection() {
    const state = this.session?.peer?.pc.connectionState ?? (this.session ? "new" : null);
    if (state) this.#chip(...(CONNECTION_TEXT[state] ?? CONNECTION_TEXT.new));
    else this.#checkReady();
  }

  /** Shows whether the server would take a session, again and again while there is none. */
  async #checkReady() {
    clearTimeout(this.#readyTimer);
    let wait = READINESS_INTERVAL_MS;
    if (!this.session && !document.hidden) {
      const readiness = await this.api.readiness();
      if (!this.session) this.#chip(...READINESS_TEXT[readiness]);
      if (readiness === "starting") wait = STARTING_INTERVAL_MS;
    }
    clearTimeout(this.#readyTimer); // another check may have come between
    if (this.#listeners.signal.aborted) return;
    this.#readyTimer = setTimeout(() => this.#checkReady(), wait);
  }

  /** @param {string} text @param {string} tone */
  #chip(text, tone) {
    byId("connection-text").textContent = text;
    byId("connection").dataset.tone = tone;
  }

  /** @param {import("./client/api.js").Avatar} avatar */
  #showFace(avatar) {
    const pipeline = this.#pipelines.chosen?.name;
    this.#stage.showAvatar(avatar, this.api.still(avatar, { pipeline, frame: this.#frames.chosen }));
    this.preferences.set("avatar", avatar.id);
    /** @type {HTMLButtonElement} */ (byId("start")).disabled = false;
  }

  /** @param {import("./client/api.js").Pipeline} pipeline */
  #usePipeline(pipeline) {
    this.#controls.show(pipeline.controls);
    this.#frames.show(pipeline);
    this.#faces.usePipeline(pipeline);
  }

  // ---- buttons ----

  #interrupt() {
    if (this.state === "live") this.session?.interrupt();
  }

  /** @param {Record<string, number>} values */
  #onControls(values) {
    Object.assign(this.#pendingControls, values);
    clearTimeout(this.#controlsTimer);
    this.#controlsTimer = setTimeout(() => {
      this.session?.setControls(this.#pendingControls);
      this.#pendingControls = {};
    }, CONTROLS_EVERY_MS);
  }

  #toggleMute() {
    this.#microphone.muted = !this.#microphone.muted;
    this.#stage.setMuted(this.#microphone.muted);
    this.#microphonePanel.refresh();
  }

  /** @param {boolean} silent */
  #setSilent(silent) {
    this.#stage.setSilent(silent);
    if (silent) byId("tip").hidden = true;
  }

  #closeTip() {
    byId("tip").hidden = true;
    this.preferences.set("tip", "seen");
  }

  /** @param {boolean} shown */
  #setBadge(shown) {
    this.#stage.setBadge(shown);
    this.preferences.set("badge", shown ? "on" : null);
  }

  #toggleStats() {
    const shown = byId("stats-panel").hidden;
    this.#stage.setStats(shown);
    this.preferences.set("stats", shown ? "on" : null);
  }

  #copyLink() {
    if (this.state === "live" && this.session?.id)
      copyViewLink(this.api, this.session.id, this.#toasts);
  }

  #showHelp() {
    /** @type {HTMLDialogElement} */ (byId("help-dialog")).showModal();
  }

  #record() {
    if (this.state === "live" && this.session?.id)
      this.#recording.toggle(this.session.id, this.#faces.chosen?.name ?? "avatar");
  }
}
