import { ClientError, asClientError } from "./errors.js";

const BUNDLED = /** @type {const} */ ({ bundlePolicy: "max-bundle" });
const CONNECT_LIMIT_MS = 12000;
/** How long a broken path may take to heal before another connection is made. */
const RECONNECT_LIMIT_MS = 8000;

/**
 * Watches a session that somebody else has opened, by WHEP.
 *
 * Event: `lost` (CustomEvent of the ClientError that ended it).
 */
export class WhepViewer extends EventTarget {
  stream = new MediaStream();
  /** Of the connection at the server, once it is there. @type {URL | null} */ location = null;
  #pc = new RTCPeerConnection(BUNDLED);
  #brokenTimer = 0;
  #ended = false;

  /**
   * @param {import("./api.js").Api} api
   * @param {string} id of the session
   */
  constructor(api, id) {
    super();
    this.api = api;
    this.id = id;
    for (const kind of ["audio", "video"]) this.#pc.addTransceiver(kind, { direction: "recvonly" });
    this.#pc.ontrack = ({ track, receiver }) => {
      // Both tracks were released together by the server: play them without an extra cushion.
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      this.stream.addTrack(track);
    };
  }

  get pc() {
    return this.#pc;
  }

  /** Resolves once connected; throws a ClientError. */
  async start() {
    const options = await this.#ask("OPTIONS");
    this.#pc.setConfiguration({
      ...BUNDLED,
      iceServers: iceServers(options.headers.get("Link")),
    });
    await this.#pc.setLocalDescription();
    const sdp = /** @type {RTCSessionDescription} */ (this.#pc.localDescription).sdp;
    const answer = await this.#ask("POST", { "Content-Type": "application/sdp" }, sdp);
    this.location = new URL(answer.headers.get("Location") ?? "", answer.url);
    if (this.#ended) return this.#leave();
    await this.#pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    // A session that ends says so here at once; the connection's own state learns it by silence.
    const { transport } = this.#pc.getReceivers()[0];
    transport?.addEventListener("statechange", () => {
      if (transport.state === "closed") this.#lose();
    });
    await this.#connected();
  }

  /** What lies behind the face, where the server knows it. @returns {Promise<Response>} */
  matte() {
    const where = this.api.url(`v1/sessions/${encodeURIComponent(this.id)}/matte`);
    return fetch(where, { headers: this.api.headers() });
  }

  destroy() {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#brokenTimer);
    this.#pc.ontrack = this.#pc.onconnectionstatechange = null;
    this.#leave();
    this.#pc.close();
  }

  /** Survives the page being closed. */
  #leave() {
    if (this.location)
      fetch(this.location, { method: "DELETE", headers: this.api.headers(), keepalive: true }).catch(
        () => undefined, // the server is gone, and the connection with it
      );
  }

  /**
   * @param {string} method
   * @param {Record<string, string>} [headers]
   * @param {string} [body]
   */
  async #ask(method, headers, body) {
    const endpoint = this.api.url(`whep/${encodeURIComponent(this.id)}`);
    let response;
    try {
      response = await fetch(endpoint, { method, headers: this.api.headers(headers), body });
    } catch (cause) {
      throw new ClientError("server_unreachable", { cause });
    }
    if (response.ok) return response;
    const reason = (await response.json().catch(() => null))?.error ?? {};
    const seconds = Number.parseFloat(response.headers.get("Retry-After") ?? "");
    throw new ClientError(reason.code ?? `http_${response.status}`, {
      message: reason.message,
      status: response.status,
      retryAfterS: Number.isFinite(seconds) ? seconds : undefined,
    });
  }

  #connected() {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new ClientError("ice_failed")), CONNECT_LIMIT_MS);
      this.#pc.onconnectionstatechange = () => {
        const state = this.#pc.connectionState;
        clearTimeout(this.#brokenTimer);
        if (state === "connected") {
          clearTimeout(timer);
          resolve(undefined);
        } else if (state === "failed" || state === "closed") {
          clearTimeout(timer);
          reject(new ClientError("ice_failed")); // nothing happens if it was connected before
          this.#lose();
        } else if (state === "disconnected") {
          this.#brokenTimer = setTimeout(() => this.#lose(), RECONNECT_LIMIT_MS);
        }
      };
    });
  }

  #lose() {
    if (this.#ended) return;
    this.destroy();
    const error = asClientError(new ClientError("session_ended")).at("live");
    this.dispatchEvent(new CustomEvent("lost", { detail: error }));
  }
}

/**
 * STUN and TURN servers of a Link header (RFC 9725, 4.6).
 * @param {string | null} header
 * @returns {RTCIceServer[]}
 */
export function iceServers(header) {
  const found = [];
  for (const [, urls, rest] of (header ?? "").matchAll(/<([^>]+)>((?:\s*;\s*[\w-]+="[^"]*")*)/g)) {
    const fields = Object.fromEntries(
      [...rest.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
    );
    if (fields.rel !== "ice-server") continue;
    const { username, credential } = fields;
    found.push(username ? { urls, username, credential } : { urls });
  }
  return found;
}
