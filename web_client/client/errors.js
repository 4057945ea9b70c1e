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
