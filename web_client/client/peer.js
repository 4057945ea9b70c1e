import { ClientError } from "./errors.js";
import { CHANNEL_LABEL, parseServerEvent } from "./protocol.js";

const POLL_MS = 100;

/**
 * One WebRTC connection: microphone up, if there is one, avatar picture and voice down, and the event channel.
 *
 * Events: `message` (CustomEvent of a protocol event), `connection` (state changed),
 * `channel` (opened or closed).
 */
export class Peer extends EventTarget {
  #channel;
  #audio;

  /**
   * @param {RTCIceServer[]} iceServers
   * @param {MediaStreamTrack | null} microphone null: only watch and listen
   */
  constructor(iceServers, microphone) {
    super();
    if (!("RTCPeerConnection" in window)) throw new ClientError("webrtc_unsupported");
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.stream = new MediaStream();
    this.#audio = this.pc.addTransceiver(microphone ?? "audio", {
      direction: microphone ? "sendrecv" : "recvonly",
    });
    this.pc.addTransceiver("video", { direction: "recvonly" });
    this.#channel = this.pc.createDataChannel(CHANNEL_LABEL);
    this.#channel.onmessage = (e) => this.#onMessage(e.data);
    this.#channel.onopen = () => this.dispatchEvent(new Event("channel"));
    this.#channel.onclose = () => this.dispatchEvent(new Event("channel"));
    this.pc.ontrack = (e) => this.#onTrack(e);
    this.pc.onconnectionstatechange = () => this.dispatchEvent(new Event("connection"));
  }

  get channelOpen() {
    return this.#channel.readyState === "open";
  }

  /** @returns {Promise<string>} the offer; our own checks tell the server our candidates */
  async createOffer() {
    await this.pc.setLocalDescription();
    return /** @type {RTCSessionDescription} */ (this.pc.localDescription).sdp;
  }

  /** @param {string} sdp */
  async accept(sdp) {
    await this.pc.setRemoteDescription({ type: "answer", sdp });
  }

  /** @param {number} limitMs @param {AbortSignal} signal */
  async connected(limitMs, signal) {
    const state = () => this.pc.connectionState;
    await this.#until(
      () => state() === "connected" || state() === "failed",
      limitMs,
      signal,
      "ice_failed",
    );
    if (state() === "failed") throw new ClientError("ice_failed");
  }

  /** Resolves when a picture has been decoded. @param {number} limitMs @param {AbortSignal} signal */
  async pictured(limitMs, signal) {
    await this.#until(() => this.#hasPicture(), limitMs, signal, "media_timeout");
  }

  /**
   * @param {import("./protocol.js").ProtocolEvent} event
   * @returns {boolean} false if the channel is not open
   */
  send(event) {
    if (!this.channelOpen) return false;
    this.#channel.send(JSON.stringify(event));
    return true;
  }

  /** @param {MediaStreamTrack} track */
  replaceMicrophone(track) {
    return this.#audio.sender.replaceTrack(track);
  }

  destroy() {
    this.#channel.onmessage = this.#channel.onopen = this.#channel.onclose = null;
    this.pc.ontrack = this.pc.onconnectionstatechange = null;
    this.pc.close();
  }

  /** @param {unknown} data */
  #onMessage(data) {
    const event = parseServerEvent(data);
    if (event) this.dispatchEvent(new CustomEvent("message", { detail: event }));
  }

  /** @param {RTCTrackEvent} event */
  #onTrack({ receiver, track }) {
    // Both tracks were released together by the server: play them without an extra cushion.
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    this.stream.addTrack(track);
  }

  async #hasPicture() {
    for (const report of (await this.pc.getStats()).values()) {
      if (report.type === "inbound-rtp" && report.kind === "video") return report.framesDecoded > 0;
    }
    return false;
  }

  /**
   * @param {() => boolean | Promise<boolean>} condition
   * @param {number} limitMs @param {AbortSignal} signal
   * @param {string} code of the error when time is up
   */
  async #until(condition, limitMs, signal, code) {
    const deadline = performance.now() + limitMs;
    while (!(await condition())) {
      signal.throwIfAborted();
      if (performance.now() > deadline) throw new ClientError(code);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
