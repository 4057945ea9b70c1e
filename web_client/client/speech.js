import { ClientError } from "./errors.js";
import { ClientEvent, clientEvent, outputAudioClear, parseServerEvent } from "./protocol.js";

/** Bytes that may wait in the socket before `push` waits itself. */
const HIGH_WATER_BYTES = 1 << 20;
const POLL_MS = 20;
/** Samples in one message. */
const PIECE = 16_384;

/**
 * Speech made elsewhere, pushed into a session as PCM, as fast as it is there.
 *
 * Events: `message` (CustomEvent of a protocol event), `closed`.
 */
export class Speech extends EventTarget {
  /** @type {WebSocket} */ #socket;

  /** @param {WebSocket} socket an open one; see `openSpeech` */
  constructor(socket) {
    super();
    this.#socket = socket;
    socket.onmessage = (e) => {
      const event = parseServerEvent(e.data);
      if (event) this.dispatchEvent(new CustomEvent("message", { detail: event }));
    };
    socket.onclose = () => this.dispatchEvent(new Event("closed"));
  }

  get isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /**
   * Adds to the utterance. Waits while the server takes no more.
   * @param {Int16Array | Float32Array} samples mono; floats from -1 to 1
   */
  async push(samples) {
    for (let at = 0; at < samples.length; at += PIECE) {
      while (this.isOpen && this.#socket.bufferedAmount > HIGH_WATER_BYTES)
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      this.#send(littleEndian(samples.subarray(at, at + PIECE)));
    }
  }

  /** The utterance is whole. */
  commit() {
    this.#send(JSON.stringify(clientEvent(ClientEvent.INPUT_COMMIT)));
  }

  /** Forgets what was pushed and not committed. */
  clear() {
    this.#send(JSON.stringify(clientEvent(ClientEvent.INPUT_CLEAR)));
  }

  /** Barge-in: has the avatar fall silent, and forgets all that it was about to say. */
  interrupt() {
    this.#send(JSON.stringify(outputAudioClear()));
  }

  destroy() {
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
  }

  /** @param {string | ArrayBuffer} data */
  #send(data) {
    if (!this.isOpen) throw new ClientError("session_ended");
    this.#socket.send(data);
  }
}

/**
 * @param {import("./api.js").Api} api
 * @param {string} session the id of one that was opened with `audio: "push"`
 * @param {number} rate of the samples, 8000 to 48000 Hz
 * @returns {Promise<Speech>}
 */
export async function openSpeech(api, session, rate = 24_000) {
  const url = new URL(api.url(`v1/sessions/${encodeURIComponent(session)}/audio`));
  url.protocol = url.protocol.replace("http", "ws");
  url.searchParams.set("rate", String(rate));
  if (api.hasToken) url.searchParams.set("ticket", await api.ticket(session));
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onclose = (e) =>
      reject(new ClientError("speech_refused", { message: e.reason || undefined }));
  });
  return new Speech(socket);
}

/** @param {Int16Array | Float32Array} samples @returns {ArrayBuffer} PCM16, little-endian */
function littleEndian(samples) {
  const bytes = new DataView(new ArrayBuffer(2 * samples.length));
  const scale = samples instanceof Float32Array ? 32_767 : 1;
  for (let i = 0; i < samples.length; i++) {
    const value = Math.max(-32_768, Math.min(32_767, Math.round(samples[i] * scale)));
    bytes.setInt16(2 * i, value, true);
  }
  return bytes.buffer;
}
