import { ClientError, asClientError } from "./errors.js";
import { Peer } from "./peer.js";
import { ServerEvent, errorOf, outputAudioClear, ping, sessionUpdate } from "./protocol.js";

const PING_INTERVAL_MS = 2000;
/** Without a pong for this long the server counts as gone. */
const PONG_LIMIT_MS = 8000;
/** How long a broken path may take to heal before the session is given up. */
const RECONNECT_LIMIT_MS = 8000;
const ICE_LIMIT_MS = 12000;
const MEDIA_LIMIT_MS = 12000;
const KEPT_EVENTS = 200;

/**
 * One session from microphone to moving picture and back to nothing.
 *
 * Events: `step` (CustomEvent of a step id), `server` (CustomEvent of a protocol event),
 * `connection`, `lost` (CustomEvent of the ClientError that ended it).
 */
export class Session extends EventTarget {
  /** @type {Peer | null} */ peer = null;
  /** @type {string | null} */ id = null;
  /** @type {Record<string, unknown>} latest `stats` event */ serverStats = {};
  /** @type {import("./protocol.js").ProtocolEvent[]} the last ones, newest last */ recentEvents =
    [];
  /** Milliseconds from the press of Start to each step's end. @type {Record<string, number>} */ timings =
    {};
  #abort = new AbortController();
  #pingTimer = 0;
  #brokenTimer = 0;
  #lastPongMs = 0;
  /** @type {string | undefined} */ #lastError;
  #live = false;
  #ended = false;

  /**
   * @param {import("./api.js").Api} api
   * @param {import("./microphone.js").Microphone | null} microphone null: the session hears none
   * @param {import("./api.js").Choice} choice
   */
  constructor(api, microphone, choice) {
    super();
    this.api = api;
    this.microphone = microphone;
    this.choice = choice;
  }

  /** The received picture and voice. @returns {MediaStream | null} */
  get stream() {
    return this.peer?.stream ?? null;
  }

  /**
   * Runs all steps; throws a ClientError that names the step that failed.
   * @param {string} [deviceId] the microphone to open if none is open yet; by default the system's
   */
  async start(deviceId = "") {
    const began = performance.now();
    const { microphone } = this;
    if (microphone)
      await this.#step("microphone", began, () => microphone.isOpen || microphone.open(deviceId));
    await this.#step("offer", began, () => this.#offer());
    await this.#step("ice", began, () => this.#peer.connected(ICE_LIMIT_MS, this.#abort.signal));
    await this.#step("media", began, () => this.#peer.pictured(MEDIA_LIMIT_MS, this.#abort.signal));
    this.#live = true;
    this.#lastPongMs = performance.now();
    microphone?.addEventListener("change", this.#onMicrophone);
    microphone?.addEventListener("lost", this.#takeMicrophone);
    microphone?.addEventListener("devices", this.#takeMicrophone);
  }

  /**
   * @param {string} avatar id
   * @returns {Promise<boolean>} whether the face has changed already; else `session.updated` will say so
   */
  async changeAvatar(avatar) {
    if (this.#peer.send(sessionUpdate({ avatar })) || !this.id) return false;
    await this.api.changeAvatar(this.id, avatar);
    return true;
  }

  /** @param {Record<string, number>} controls */
  setControls(controls) {
    this.peer?.send(sessionUpdate({ controls }));
  }

  /** Barge-in: has the avatar fall silent and forget what it was about to say. */
  interrupt() {
    this.peer?.send(outputAudioClear());
  }

  /** Ends the session here and on the server. */
  destroy() {
    if (this.#ended) return;
    this.#ended = true;
    this.#abort.abort(new ClientError("aborted"));
    clearInterval(this.#pingTimer);
    clearTimeout(this.#brokenTimer);
    this.microphone?.removeEventListener("change", this.#onMicrophone);
    this.microphone?.removeEventListener("lost", this.#takeMicrophone);
    this.microphone?.removeEventListener("devices", this.#takeMicrophone);
    if (this.id) this.api.endSession(this.id);
    this.peer?.destroy();
  }

  get #peer() {
    return /** @type {Peer} */ (this.peer);
  }

  /**
   * @param {import("./errors.js").Step} step
   * @param {number} began
   * @param {() => unknown} work
   */
  async #step(step, began, work) {
    this.dispatchEvent(new CustomEvent("step", { detail: step }));
    try {
      await work();
    } catch (error) {
      throw asClientError(error).at(step);
    }
    this.#abort.signal.throwIfAborted();
    this.timings[step] = performance.now() - began;
  }

  async #offer() {
    const iceServers = await this.api.iceServers();
    const track = this.microphone?.track ?? null;
    if (this.microphone && !track) throw new ClientError("microphone_lost");
    const peer = new Peer(iceServers, track);
    this.peer = peer;
    peer.addEventListener("message", (e) => this.#onMessage(/** @type {CustomEvent} */ (e).detail));
    peer.addEventListener("connection", () => this.#onConnection());
    peer.addEventListener("channel", () => this.#onChannel());
    const sdp = await peer.createOffer();
    const answer = await this.api.createSession({ sdp, ...this.choice });
    if (this.#ended) {
      this.api.endSession(answer.id);
      throw new ClientError("aborted");
    }
    this.id = answer.id;
    await peer.accept(answer.sdp);
  }

  /** @param {import("./protocol.js").ProtocolEvent} event */
  #onMessage(event) {
    this.recentEvents.push(event);
    if (this.recentEvents.length > KEPT_EVENTS) this.recentEvents.shift();
    if (event.type === ServerEvent.PONG) this.#lastPongMs = performance.now();
    if (event.type === ServerEvent.STATS) this.serverStats = event;
    if (event.type === ServerEvent.ERROR) this.#lastError = errorOf(event).message;
    this.dispatchEvent(new CustomEvent("server", { detail: event }));
  }

  #onChannel() {
    if (this.#peer.channelOpen) {
      this.#lastPongMs = performance.now();
      this.#ping();
      this.#pingTimer = setInterval(() => this.#ping(), PING_INTERVAL_MS);
    } else if (!this.#ended) {
      this.#lose(new ClientError("session_ended", { message: this.#lastError }));
    }
  }

  #ping() {
    if (performance.now() - this.#lastPongMs > PONG_LIMIT_MS)
      this.#lose(new ClientError("server_gone"));
    else this.peer?.send(ping());
  }

  #onConnection() {
    const state = this.#peer.pc.connectionState;
    this.dispatchEvent(new Event("connection"));
    clearTimeout(this.#brokenTimer);
    if (!this.#live) return; // the step in progress reports it
    if (state === "failed") this.#lose(new ClientError("server_gone"));
    if (state === "disconnected") {
      this.#brokenTimer = setTimeout(
        () => this.#lose(new ClientError("server_gone")),
        RECONNECT_LIMIT_MS,
      );
    }
  }

  #onMicrophone = () => {
    if (this.microphone?.track) this.peer?.replaceMicrophone(this.microphone.track);
  };

  /** Where it has gone, the next one, as soon as there is one: until then nobody is listened to. */
  #takeMicrophone = async () => {
    if (!this.microphone || this.microphone.isOpen) return;
    try {
      await this.microphone.open("");
    } catch (cause) {
      const { code } = asClientError(cause);
      if (code === "permission_refused") this.#lose(new ClientError("microphone_lost"));
    }
    if (this.#ended) this.microphone.close();
  };

  /** @param {ClientError} error */
  #lose(error) {
    if (this.#ended) return;
    if (!this.#live) return void this.#abort.abort(error);
    this.destroy();
    this.dispatchEvent(new CustomEvent("lost", { detail: error.at("live") }));
  }
}
