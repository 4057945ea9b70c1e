/**
 * The messages of the `events` data channel, mirroring `realtime/protocol.py` and
 * `realtime/client_events.py`.
 *
 * Every event is a JSON object with `type` and `event_id`. Unknown server events are ignorable.
 */

/** What the page may send. */
export const ClientEvent = Object.freeze({
  SESSION_UPDATE: "session.update",
  INPUT_APPEND: "input_audio_buffer.append",
  INPUT_COMMIT: "input_audio_buffer.commit",
  INPUT_CLEAR: "input_audio_buffer.clear",
  OUTPUT_AUDIO_CLEAR: "output_audio_buffer.clear",
  RESPONSE_CANCEL: "response.cancel",
  ITEM_TRUNCATE: "conversation.item.truncate",
  PING: "ping",
});

/** What the server may send. */
export const ServerEvent = Object.freeze({
  SESSION_CREATED: "session.created",
  SESSION_UPDATED: "session.updated",
  SPEECH_STARTED: "input_audio_buffer.speech_started",
  SPEECH_STOPPED: "input_audio_buffer.speech_stopped",
  INPUT_COMMITTED: "input_audio_buffer.committed",
  INPUT_CLEARED: "input_audio_buffer.cleared",
  OUTPUT_STARTED: "output_audio_buffer.started",
  OUTPUT_STOPPED: "output_audio_buffer.stopped",
  OUTPUT_CLEARED: "output_audio_buffer.cleared",
  ITEM_TRUNCATED: "conversation.item.truncated",
  AVATAR_STATE: "avatar.state",
  AVATAR_MOTION: "avatar.motion",
  STATS: "stats",
  ERROR: "error",
  PONG: "pong",
});

export const CHANNEL_LABEL = "events";

let nextEvent = 1;

/**
 * @typedef {{type: string, event_id: string} & Record<string, unknown>} ProtocolEvent
 */

/**
 * @param {string} type one of `ClientEvent`
 * @param {Record<string, unknown>} [fields]
 * @returns {ProtocolEvent}
 */
export function clientEvent(type, fields = {}) {
  return { type, event_id: `client_${nextEvent++}`, ...fields };
}

/**
 * @param {{avatar?: string, controls?: Record<string, number>}} changes
 */
export function sessionUpdate(changes) {
  return clientEvent(ClientEvent.SESSION_UPDATE, changes);
}

/** Barge-in: drop what has not been played yet. */
export function outputAudioClear() {
  return clientEvent(ClientEvent.OUTPUT_AUDIO_CLEAR);
}

export function ping() {
  return clientEvent(ClientEvent.PING);
}

/**
 * @param {unknown} data one data-channel message
 * @returns {ProtocolEvent | null} null for anything that is not an event
 */
export function parseServerEvent(data) {
  if (typeof data !== "string") return null;
  try {
    const event = JSON.parse(data);
    return event && typeof event.type === "string" ? event : null;
  } catch {
    return null;
  }
}

/**
 * The reason carried by an `error` event.
 * @param {ProtocolEvent} event
 * @returns {{code: string, message: string}}
 */
export function errorOf(event) {
  const body = /** @type {any} */ (event.error ?? event);
  return { code: String(body.code ?? "error"), message: String(body.message ?? "") };
}
