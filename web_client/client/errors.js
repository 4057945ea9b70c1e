/** What can go wrong on the way to a talking face; every failure is a `ClientError`. */

/** The way to a talking face, in order; an error says which step failed. */
export const STEPS = Object.freeze([
  { id: "microphone", label: "Microphone" },
  { id: "offer", label: "Server" },
  { id: "ice", label: "Connection" },
  { id: "media", label: "Picture" },
]);

/** @typedef {"microphone" | "offer" | "ice" | "media" | "live"} Step */

export class ClientError extends Error {
  /**
   * @param {string} code ours, or a code from the server
   * @param {{message?: string, step?: Step, retryAfterS?: number, status?: number, cause?: unknown}} [details]
   */
  constructor(code, details = {}) {
    super(details.message ?? code, { cause: details.cause });
    this.name = "ClientError";
    this.code = code;
    this.step = details.step ?? null;
    this.retryAfterS = details.retryAfterS ?? null;
    this.status = details.status ?? null;
  }

  /** @param {Step} step */
  at(step) {
    this.step ??= step;
    return this;
  }
}

/**
 * @param {unknown} cause anything thrown by getUserMedia
 * @returns {ClientError}
 */
export function fromMicrophone(cause) {
  const name = cause instanceof Error ? cause.name : "";
  const code =
    {
      NotFoundError: "no_microphone",
      OverconstrainedError: "no_microphone",
      NotAllowedError: "permission_refused",
      SecurityError: "permission_refused",
      NotReadableError: "microphone_busy",
      AbortError: "microphone_busy",
    }[name] ?? "unknown";
  return new ClientError(code, { step: "microphone", message: String(cause), cause });
}

/**
 * @param {unknown} error
 * @returns {ClientError}
 */
export function asClientError(error) {
  return error instanceof ClientError
    ? error
    : new ClientError("unknown", { message: String(error), cause: error });
}

/** Of failures that the server has no words for. @type {Record<string, string>} */
const WORDS = {
  insecure_context: "Browsers open the microphone on https pages and on localhost only",
  webrtc_unsupported: "This browser has no WebRTC",
  no_microphone: "No microphone was found",
  permission_refused: "The microphone is blocked for this page",
  microphone_busy: "The microphone is held by another program",
  microphone_lost: "The microphone went away",
  server_unreachable: "The avatar server does not answer, or not to this page",
  ice_failed: "Picture and voice find no way through the network",
  media_timeout: "Connected, but no picture came",
  server_gone: "The connection to the server was lost",
  session_ended: "The session has ended",
};

/** @param {ClientError} error @returns {string} a short sentence without its full stop */
export function inWords(error) {
  const said = error.message === error.code ? (WORDS[error.code] ?? "") : error.message;
  return (error.cause instanceof Error && WORDS[error.code]) || said || "Something went wrong";
}
