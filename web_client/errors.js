/** Plain-language explanations of failures. */

/** @typedef {{title: string, text: string, advice: string}} Explanation */

/** @type {Record<string, Explanation>} */
const EXPLANATIONS = {
  insecure_context: {
    title: "The browser keeps the microphone locked here",
    text: "Browsers only open the microphone on secure pages: https, or localhost.",
    advice:
      "Open this page as https://…, or as http://127.0.0.1 on the machine that runs the server.",
  },
  webrtc_unsupported: {
    title: "This browser cannot make the call",
    text: "The picture and the voice travel over WebRTC, which this browser does not offer.",
    advice: "Use a current Chrome, Edge, Firefox or Safari.",
  },
  no_microphone: {
    title: "No microphone found",
    text: "The face moves to your voice, so it needs a microphone.",
    advice: "Plug one in, or switch on the built-in one, then try again.",
  },
  permission_refused: {
    title: "The microphone is blocked",
    text: "The browser was told not to let this page listen.",
    advice: "Click the icon at the left of the address bar, allow the microphone, then try again.",
  },
  microphone_busy: {
    title: "The microphone is busy",
    text: "Another program holds it, or the system refused to open it.",
    advice: "Close other calls and recorders, or choose another microphone, then try again.",
  },
  microphone_lost: {
    title: "The microphone went away",
    text: "It was unplugged or switched off during the session.",
    advice: "Plug it in again or choose another one, then start again.",
  },
  server_unreachable: {
    title: "The server does not answer",
    text: "The page could not reach the avatar server.",
    advice: "Check that it is running and that you are online, then try again.",
  },
  unauthorized: {
    title: "A key is needed here",
    text: "This server is only for those who have a key, a token or a link with one in it.",
    advice: "Enter it, or ask whoever runs the server. Links stop working after a while.",
  },
  insufficient_scope: {
    title: "This link does not allow that",
    text: "The server knows it, but it was made for something else.",
    advice: "Ask whoever gave it to you for one that does.",
  },
  too_many_requests: {
    title: "The server asks for a pause",
    text: "More was asked of it than it lets one visitor ask.",
    advice: "We try again by ourselves in a moment.",
  },
  too_many_sessions: {
    title: "You have as many sessions as you may",
    text: "This server leaves seats to others: you, or somebody in your network, have your share.",
    advice: "End one in another tab or window. We try again by ourselves.",
  },
  at_capacity: {
    title: "Every seat is taken",
    text: "The server animates as many faces as it can keep in sync, and right now it is full.",
    advice: "We try again by ourselves as soon as the server expects room.",
  },
  draining: {
    title: "The server is restarting",
    text: "It finishes the sessions it has and takes no new ones.",
    advice: "We try again by ourselves in a moment.",
  },
  starting: {
    title: "The server is getting ready",
    text: "It loads what draws the faces, or had to restart it. That takes a moment.",
    advice: "We try again by ourselves as soon as it may be done.",
  },
  pipeline_not_loaded: {
    title: "This pipeline is not loaded",
    text: "",
    advice: "Wait a moment if it is being loaded, or choose another pipeline.",
  },
  avatar_not_ready: {
    title: "This face is still being prepared",
    text: "",
    advice: "We try again by ourselves; or choose another face meanwhile.",
  },
  engine_unavailable: {
    title: "The server cannot draw faces right now",
    text: "What draws them has ended and could not be brought back yet.",
    advice: "We try again by ourselves. If it stays so, look at the server's log.",
  },
  storage_unavailable: {
    title: "The server has no room to keep this",
    text: "",
    advice: "Remove a face you no longer need, or ask the operator to make room.",
  },
  unsuited_material: {
    title: "This face does not fit the pipeline",
    text: "",
    advice: "Choose another face, or another pipeline.",
  },
  unknown_pipeline: {
    title: "The server does not know this pipeline",
    text: "",
    advice: "Reload the page and choose another one.",
  },
  unknown_avatar: {
    title: "This face is gone",
    text: "The server does not know the chosen avatar any more.",
    advice: "Choose another face.",
  },
  bad_request: {
    title: "The server refused the call",
    text: "It could not use what this browser offered.",
    advice: "Reload the page. If it happens again, try another browser.",
  },
  server_error: {
    title: "Something broke on the server",
    text: "The server met an error while it answered.",
    advice: "Try again. If it happens again, look at the server's log.",
  },
  body_too_large: {
    title: "This file is too large",
    text: "The server takes photos and videos up to a certain size.",
    advice: "Use a smaller version: a screenshot of the photo, or a shorter video.",
  },
  ice_failed: {
    title: "No way through the network",
    text: "The server answered, but picture and voice found no path between it and this browser.",
    advice:
      "A firewall or VPN often blocks this. Try another network, or ask the operator to set up TURN.",
  },
  media_timeout: {
    title: "Connected, but no picture came",
    text: "The connection stands, yet no video frame arrived in time.",
    advice: "Try again. If it happens again, look at the server's log.",
  },
  server_gone: {
    title: "The connection to the server was lost",
    text: "The server stopped answering in the middle of the session.",
    advice: "Check that it is running and that you are online, then start again.",
  },
  session_ended: {
    title: "The server ended the session",
    text: "",
    advice: "Start again when you like.",
  },
  unknown_session: {
    title: "This session is not running",
    text: "It has ended, or has not begun yet.",
    advice: "This page shows it as soon as it runs. Ask for a new link if it has ended.",
  },
  recording_refused: {
    title: "The recording could not begin",
    text: "",
    advice: "Try again in a moment.",
  },
  unknown: {
    title: "Something went wrong",
    text: "",
    advice: "Try again, or reload the page.",
  },
};

/**
 * @param {import("./client/errors.js").ClientError} error
 * @returns {Explanation}
 */
export function explain(error) {
  if (error.code in EXPLANATIONS) {
    const known = EXPLANATIONS[error.code];
    const text = known.text || (error.message !== error.code ? asSentence(error.message) : "");
    return { ...known, text };
  }
  const status = error.status ?? 0;
  let fallback = EXPLANATIONS.unknown;
  if (status === 503) fallback = EXPLANATIONS.at_capacity;
  else if (status >= 500) fallback = EXPLANATIONS.server_error;
  else if (status >= 400) fallback = EXPLANATIONS.bad_request;
  const said = error.message !== error.code ? asSentence(error.message) : "";
  return { ...fallback, text: said || fallback.text };
}

/** What a server says, beginning and ending as sentences do. @param {string} message */
export function asSentence(message) {
  const said = message.trim();
  return said && said[0].toUpperCase() + said.slice(1) + (/[.!?]$/.test(said) ? "" : ".");
}

/** @returns {boolean} whether the page has its own words for this error */
export function isExplained(/** @type {import("./client/errors.js").ClientError} */ error) {
  return error.code in EXPLANATIONS;
}

/** @returns {boolean} whether waiting is likely to help, so that the page may retry by itself */
export function mayRetryAlone(/** @type {import("./client/errors.js").ClientError} */ error) {
  return error.retryAfterS !== null;
}
