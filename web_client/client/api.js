import { ClientError } from "./errors.js";

/**
 * @typedef {{
 *   id: string, name: string, kind: "cast" | "upload", image: string, pipelines: string[],
 *   state: "ready" | "enrolling" | "failed", progress?: number, stage?: string,
 *   error?: {code: string, message: string}, note?: string,
 *   advice?: {code: string, message: string}[],
 * }} Avatar
 */
/** @typedef {{name: string, summary: string, min: number, max: number, default: number}} Control */
/**
 * @typedef {{
 *   name: string, summary: string, loaded: boolean, controls: Control[], accepts: string[],
 *   keeps_video: boolean, frame: string, frames?: {name: string}[],
 * }} Pipeline
 */
/** @typedef {{id: string, sdp: string, type: "answer", playout_delay_ms?: number}} SessionAnswer */
/**
 * What a session shows, and where what it says comes from: the microphone, or speech that is pushed.
 * @typedef {{
 *   avatar?: string, pipeline?: string, frame?: string, size?: string | number,
 *   audio?: "microphone" | "push",
 * }} Choice
 */

const DEFAULT_RETRY_S = 5;

/**
 * @param {number} status
 * @param {string | null} retryAfter the header's value
 * @param {any} body the parsed body, if it was JSON
 * @returns {ClientError}
 */
function refusal(status, retryAfter, body) {
  const reason = body?.error ?? {};
  let seconds = Number.parseFloat(retryAfter ?? "");
  if (Number.isNaN(seconds) && !reason.code) seconds = DEFAULT_RETRY_S; // of a proxy
  return new ClientError(reason.code ?? `http_${status}`, {
    message: reason.message,
    status,
    retryAfterS: (status === 503 || status === 429) && Number.isFinite(seconds) ? seconds : undefined,
  });
}

const KEY_PREFIX = "sk-";
const TOKEN_EXPIRES_S = 12 * 3600;
/** @param {{id: string}} avatar */
const pathOf = ({ id }) => `v1/avatars/${encodeURIComponent(id)}`;
/** Where this module comes from, and therefore its server, at whatever path that is found. */
const HOME = new URL("../", import.meta.url).href;

/** A server's HTTP calls. Every failure is a `ClientError`. */
export class Api {
  /** @type {string} */ #server;
  /** @type {string} */ #token;
  /** Pictures fetched with a token, by path. @type {Map<string, string>} */ #pictures = new Map();

  /**
   * @param {string} token for a server that asks for one; may be empty
   * @param {string} server its address; by default the one that this module comes from
   */
  constructor(token = "", server = HOME) {
    this.#token = token;
    this.#server = server.endsWith("/") ? server : `${server}/`;
  }

  /** @returns {boolean} whether calls carry a token */
  get hasToken() {
    return this.#token !== "";
  }

  /** @param {string} path such as `v1/avatars` */
  url(path) {
    return new URL(path, this.#server).href;
  }

  /**
   * @param {string} secret a token, or an API key, which then is not kept
   * @returns {Promise<string>} a token
   */
  async tokenFor(secret) {
    const keys = new Api(secret, this.#server);
    if (secret.startsWith(KEY_PREFIX))
      return (await keys.#json("POST", "v1/tokens", { expires_s: TOKEN_EXPIRES_S })).token;
    await keys.#json("GET", "v1/pipelines");
    return secret;
  }

  /** @returns {Promise<Avatar[]>} */
  async avatars() {
    const { avatars } = await this.#json("GET", "v1/avatars");
    return Promise.all(avatars.map((/** @type {Avatar} */ avatar) => this.#pictured(avatar)));
  }

  /** @param {string} id @returns {Promise<Avatar>} */
  async avatar(id) {
    return this.#pictured(await this.#json("GET", pathOf({ id })));
  }

  /**
   * @param {string} id of an avatar
   * @param {string} pipeline that draws it; empty: the server's choice
   * @returns {Promise<string>} where a loop of it as it will be drawn is; empty where there is none
   */
  async preview(id, pipeline) {
    const query = pipeline ? `?pipeline=${encodeURIComponent(pipeline)}` : "";
    return this.#picture(`${pathOf({ id })}/preview${query}`);
  }

  /** @returns {Promise<Pipeline[]>} all that the server knows, its default first */
  async pipelines() {
    return (await this.#json("GET", "v1/pipelines")).pipelines;
  }

  /** @returns {Promise<RTCIceServer[]>} */
  async iceServers() {
    try {
      return (await this.#json("GET", "v1/ice-servers")).ice_servers ?? [];
    } catch (error) {
      if (error instanceof ClientError && error.status === 404) return [];
      throw error;
    }
  }

  /** @returns {Promise<"ready" | "full" | "starting" | "broken" | "unreachable">} */
  async readiness() {
    try {
      const response = await fetch(this.url("ready"), { cache: "no-store" });
      if (response.ok) return "ready";
      const code = (await response.json().catch(() => null))?.error?.code;
      if (code === "starting") return "starting";
      return code === "engine_unavailable" ? "broken" : "full";
    } catch {
      return "unreachable";
    }
  }

  /**
   * @param {Choice & {sdp: string}} offer
   * @returns {Promise<SessionAnswer>}
   */
  createSession(offer) {
    return this.#json("POST", "v1/sessions", { ...offer, type: "offer" });
  }

  /**
   * Lets a WebSocket in, to which a browser cannot give a token.
   * @param {string} session its id
   * @returns {Promise<string>} good for one connection
   */
  async ticket(session) {
    return (await this.#json("POST", `v1/sessions/${encodeURIComponent(session)}/tickets`, {}))
      .ticket;
  }

  /** @param {string} id @param {string} avatar */
  changeAvatar(id, avatar) {
    return this.#json("PATCH", `v1/sessions/${encodeURIComponent(id)}`, { avatar });
  }

  /** Survives the page being closed. @param {string} id */
  async endSession(id) {
    try {
      const url = this.url(`v1/sessions/${encodeURIComponent(id)}`);
      await fetch(url, { method: "DELETE", keepalive: true, headers: this.headers() });
    } catch {
      // The server is gone, and the session with it.
    }
  }

  /**
   * @param {string} session id @param {number} expiresS
   * @returns {Promise<string | null>} what lets others watch it; empty where nothing is asked for,
   *   null where this page may not give any
   */
  async viewToken(session, expiresS) {
    if (!this.#token) return "";
    const wanted = { scopes: ["view"], session, expires_s: expiresS };
    const made = await this.#json("POST", "v1/tokens", wanted).catch(() => null);
    return made?.token ?? null;
  }

  /** @param {string} id */
  deleteAvatar(id) {
    return this.#json("DELETE", pathOf({ id }));
  }

  /**
   * @param {File} file a photo or a video
   * @param {{
   *   name: string, kind: string, pipeline: string, talk: File | null, face: File | null,
   *   consent: string,
   * }} about kind: "photo" or "video"; talk: a video of the person talking, beside a photo; face: a
   *   photo of one to put in, whose person agrees, as `consent` says
   * @param {(sent: number) => void} onProgress share of the bytes sent, 0..1
   * @param {AbortSignal} signal
   * @returns {Promise<Avatar>} ready, or still enrolling
   */
  createAvatar(file, { name, kind, pipeline, talk, face, consent }, onProgress, signal) {
    const form = new FormData();
    form.append("name", name);
    if (pipeline) form.append("pipeline", pipeline);
    form.append(kind === "video" ? "video" : "image", file);
    if (talk) form.append("video", talk);
    if (face) {
      form.append("swap", face);
      form.append("consent", consent);
    }
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest(); // fetch does not report upload progress
      request.open("POST", this.url("v1/avatars"));
      for (const [name, value] of Object.entries(this.headers()))
        request.setRequestHeader(name, value);
      request.responseType = "json";
      request.upload.onprogress = (e) => e.lengthComputable && onProgress(e.loaded / e.total);
      request.upload.onload = () => onProgress(1);
      request.onerror = () => reject(new ClientError("server_unreachable"));
      request.onabort = () => reject(new ClientError("aborted"));
      request.onload = () => {
        if (request.status < 300) resolve(this.#pictured(request.response));
        else
          reject(
            refusal(request.status, request.getResponseHeader("Retry-After"), request.response),
          );
      };
      signal.addEventListener("abort", () => request.abort());
      request.send(form);
    });
  }

  /** What every request to the server carries. @param {Record<string, string>} [more] */
  headers(more = {}) {
    return this.#token ? { ...more, Authorization: `Bearer ${this.#token}` } : more;
  }

  /** @param {Avatar} avatar @returns {Promise<Avatar>} with a picture that this page can show */
  async #pictured(avatar) {
    return { ...avatar, image: await this.#picture(`${pathOf(avatar)}/image`) };
  }

  /**
   * The very picture with which a session of the avatar begins.
   * @param {Avatar} avatar
   * @param {Choice} [choice] its pipeline and frame, if others than the server's
   * @returns {Promise<string>} an address that this page can show; empty where there is none
   */
  still(avatar, { pipeline = "", frame = "" } = {}) {
    const query = new URLSearchParams(Object.entries({ pipeline, frame }).filter(([, v]) => v));
    return this.#picture(`${pathOf(avatar)}/still${query.size ? `?${query}` : ""}`);
  }

  /** An address that an `<img>` can load: it cannot send a token. @param {string} path */
  async #picture(path) {
    const url = this.url(path);
    if (!this.#token) return url;
    const known = this.#pictures.get(path);
    if (known) return known;
    const response = await fetch(url, { headers: this.headers() }).catch(() => null);
    const picture = response?.ok ? URL.createObjectURL(await response.blob()) : "";
    if (picture) this.#pictures.set(path, picture);
    return picture;
  }

  /** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} */
  async #json(method, path, body) {
    let response;
    try {
      response = await fetch(this.url(path), {
        method,
        headers: this.headers(body === undefined ? {} : { "Content-Type": "application/json" }),
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (cause) {
      throw new ClientError("server_unreachable", { cause });
    }
    const parsed = await response.json().catch(() => null);
    if (!response.ok) throw refusal(response.status, response.headers.get("Retry-After"), parsed);
    return parsed;
  }
}

/**
 * A picture that can be shown at once.
 * @param {string} url
 * @returns {Promise<HTMLImageElement | null>} null where there is none
 */
export async function loadPicture(url) {
  const image = new Image();
  image.crossOrigin = "anonymous"; // else servers elsewhere keep it to themselves
  image.src = url;
  const there = url && (await image.decode().then(() => true, () => false));
  return there ? image : null;
}
