import { hostPattern } from "./settings.js";

const LIMIT_MS = 10000;

/** Why the server did not do what it was asked for, in words for the user. */
export class ServerError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The HTTP calls of the user's server. */
export class Server {
  /** @param {import("./settings.js").Settings} settings */
  constructor({ server, token }) {
    this.address = server;
    this.token = token;
  }

  /** @returns {Promise<{id: string, name: string}[]>} those that can be shown now */
  async avatars() {
    const { avatars } = await this.#ask("GET", "/v1/avatars");
    return avatars.filter((/** @type {any} */ avatar) => avatar.state === "ready");
  }

  /** @returns {Promise<RTCIceServer[]>} */
  async iceServers() {
    return (await this.#ask("GET", "/v1/ice-servers")).ice_servers ?? [];
  }

  /**
   * @param {string} sdp an offer with the microphone
   * @param {string} avatar "" for the server's own choice
   * @param {string} frame what the picture shows around the face
   * @returns {Promise<{id: string, sdp: string}>}
   */
  open(sdp, avatar, frame) {
    const face = avatar ? { avatar } : {};
    return this.#ask("POST", "/v1/sessions", {
      sdp,
      type: "offer",
      audio: "microphone",
      frame,
      ...face,
    });
  }

  /** @param {string} id */
  async close(id) {
    await this.#ask("DELETE", `/v1/sessions/${encodeURIComponent(id)}`);
  }

  /** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} */
  async #ask(method, path, body) {
    if (!(await chrome.permissions.contains({ origins: [hostPattern(this.address)] }))) {
      throw new ServerError(
        "no_permission",
        `The extension may not reach ${this.address} yet. Open it, and press Connect.`,
      );
    }
    /** @type {Record<string, string>} */
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(this.address + path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: "omit",
        signal: AbortSignal.timeout(LIMIT_MS),
      });
    } catch {
      throw new ServerError(
        "server_unreachable",
        `The vivavoce server at ${this.address} does not answer. Start it with "vivavoce serve", or ` +
          "set its address in the extension.",
      );
    }
    if (response.status === 204) return {};
    const answer = await response.json().catch(() => null);
    if (!response.ok) throw refusal(response.status, answer?.error, this.address);
    return answer;
  }
}

/**
 * @param {number} status
 * @param {{code?: string, message?: string} | undefined} reason as the server words it
 * @param {string} address
 */
function refusal(status, reason, address) {
  const code = reason?.code ?? `http_${status}`;
  if (status === 401)
    return new ServerError(
      code,
      `The server at ${address} asks for a token. Set one in the extension.`,
    );
  if (code === "at_capacity")
    return new ServerError(code, "The vivavoce server is full. Try again in a moment.");
  return new ServerError(
    code,
    `The vivavoce server refused: ${reason?.message ?? `status ${status}`}`,
  );
}
