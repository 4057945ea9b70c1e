/**
 * What the page measures at the receiver, once a second, plus what the server reports.
 *
 * @typedef {object} Snapshot
 * @property {number | null} fps frames shown per second
 * @property {number | null} addedDelayMs from the server: last sample in to frame out, p95 if it says so
 * @property {number | null} endToEndMs estimate: round trip + added delay + the browser's own playout of the picture
 * @property {number | null} skewMs video minus audio at the receiver; positive when the picture is late
 * @property {number | null} serverSkewMs the same as the server releases them
 * @property {number | null} roundTripMs
 * @property {number | null} lossPercent packets lost on the way here, both tracks, in the last interval
 * @property {number | null} uplinkLossPercent packets of the microphone lost on the way to the server
 * @property {number | null} bitrateKbps received, both tracks
 * @property {number | null} videoPlayoutMs jitter buffer and decoder of the picture
 * @property {number | null} audioPlayoutMs jitter buffer of the voice
 * @property {number | null} freezes since the start
 * @property {number | null} longestGapMs longest time between two shown frames in the last interval
 * @property {number | null} framesDropped by the browser since the start
 * @property {number | null} serverDrawnFps new pictures among those sent, per second
 * @property {number | null} serverFps all pictures that were sent, per second
 * @property {boolean} serverSlow its machine had no time for many of them
 * @property {number | null} serverDropped
 * @property {number | null} serverRepeated
 * @property {number | null} serverLate
 * @property {string | null} size such as "512×512"
 * @property {number | null} widthPx of the pictures that come
 * @property {string | null} codec such as "VP8"
 */

const INTERVAL_MS = 1000;

/**
 * Samples `getStats` and shown frames.
 *
 * Events: `snapshot` (CustomEvent of a Snapshot).
 */
export class StatsCollector extends EventTarget {
  /** @type {Snapshot | null} */ latest = null;
  /** @type {Map<string, any>} */ #previous = new Map();
  #previousMs = 0;
  #timer;
  #frameRequest = 0;
  #lastFrameMs = 0;
  #longestGapMs = 0;
  #shown = 0;

  /**
   * @param {RTCPeerConnection} pc
   * @param {HTMLVideoElement} video
   * @param {() => Record<string, any>} serverStats the latest `stats` event
   */
  constructor(pc, video, serverStats) {
    super();
    this.pc = pc;
    this.video = video;
    this.serverStats = serverStats;
    this.#timer = setInterval(() => this.sample(), INTERVAL_MS);
    this.#watchFrames();
  }

  destroy() {
    clearInterval(this.#timer);
    if (this.#frameRequest) this.video.cancelVideoFrameCallback(this.#frameRequest);
  }

  /** @returns {Promise<Snapshot>} */
  async sample() {
    const reports = new Map(/** @type {any} */ (await this.pc.getStats()));
    const nowMs = performance.now();
    const elapsedS = this.#previousMs ? (nowMs - this.#previousMs) / 1000 : INTERVAL_MS / 1000;
    this.latest = { ...this.#received(reports, elapsedS), ...serverNumbers(this.serverStats()) };
    const { roundTripMs, addedDelayMs, videoPlayoutMs } = this.latest;
    this.latest.endToEndMs = sumOrNull(roundTripMs, addedDelayMs, videoPlayoutMs);
    this.#previous = reports;
    this.#previousMs = nowMs;
    this.#longestGapMs = this.#shown = 0;
    this.dispatchEvent(new CustomEvent("snapshot", { detail: this.latest }));
    return this.latest;
  }

  /** @param {Map<string, any>} reports @param {number} elapsedS @returns {Snapshot} */
  #received(reports, elapsedS) {
    const video = pick(reports, "inbound-rtp", "video");
    const audio = pick(reports, "inbound-rtp", "audio");
    const uplink = pick(reports, "remote-inbound-rtp", "audio");
    const pair = [...reports.values()].find(
      (r) => r.type === "candidate-pair" && r.nominated && r.state === "succeeded",
    );
    const codec = video && reports.get(video.codecId);
    const bytes = this.#delta(video, "bytesReceived") + this.#delta(audio, "bytesReceived");
    const lost = this.#delta(video, "packetsLost") + this.#delta(audio, "packetsLost");
    const received = this.#delta(video, "packetsReceived") + this.#delta(audio, "packetsReceived");
    return {
      fps: this.#frameRate(video, elapsedS),
      skewMs: skewMs(video, audio),
      roundTripMs: finite(pair?.currentRoundTripTime, 1000),
      lossPercent: received + lost > 0 ? (100 * Math.max(0, lost)) / (received + lost) : null,
      uplinkLossPercent: finite(uplink?.fractionLost, 100),
      bitrateKbps: video ? (bytes * 8) / 1000 / elapsedS : null,
      videoPlayoutMs: this.#average(video, "totalProcessingDelay", "framesDecoded"),
      audioPlayoutMs: this.#average(audio, "jitterBufferDelay", "jitterBufferEmittedCount"),
      freezes: finite(video?.freezeCount),
      longestGapMs: this.#longestGapMs || null,
      framesDropped: finite(video?.framesDropped),
      size: video?.frameWidth ? `${video.frameWidth}×${video.frameHeight}` : null,
      widthPx: video?.frameWidth ?? null,
      codec: codec?.mimeType?.split("/")[1] ?? null,
      ...NO_SERVER_NUMBERS,
      endToEndMs: null,
    };
  }

  /** @param {any} video @param {number} elapsedS @returns {number | null} */
  #frameRate(video, elapsedS) {
    if (this.#shown) return this.#shown / elapsedS;
    return video ? this.#delta(video, "framesDecoded") / elapsedS : null; // hidden page: none is shown
  }

  /** @param {any} report @param {string} field @returns {number} growth since the last sample */
  #delta(report, field) {
    if (!report) return 0;
    return (report[field] ?? 0) - (this.#previous.get(report.id)?.[field] ?? 0);
  }

  /** @param {any} report @param {string} total seconds @param {string} count @returns {number | null} ms */
  #average(report, total, count) {
    const n = this.#delta(report, count);
    return n > 0 ? (1000 * this.#delta(report, total)) / n : null;
  }

  #watchFrames() {
    if (!("requestVideoFrameCallback" in this.video)) return;
    this.#frameRequest = this.video.requestVideoFrameCallback((nowMs) => {
      if (this.#lastFrameMs)
        this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastFrameMs);
      this.#lastFrameMs = nowMs;
      this.#shown += 1;
      this.#watchFrames();
    });
  }
}

const NO_SERVER_NUMBERS = {
  addedDelayMs: null,
  serverSkewMs: null,
  serverDrawnFps: null,
  serverFps: null,
  serverSlow: false,
  serverDropped: null,
  serverRepeated: null,
  serverLate: null,
};

/** @param {Record<string, any>} event a `stats` event, its numbers at the top or under `stats` */
function serverNumbers(event) {
  const numbers = event.stats ?? event;
  return {
    addedDelayMs: finite(numbers.added_delay_ms),
    serverSkewMs: finite(numbers.av_skew_ms),
    serverDrawnFps: finite(numbers.drawn_fps),
    serverFps: finite(numbers.fps),
    serverSlow: numbers.slow === true,
    serverDropped: finite(numbers.dropped),
    serverRepeated: finite(numbers.repeated),
    serverLate: finite(numbers.late),
  };
}

/**
 * Sender reports carry media time, so the time each track is estimated to play is comparable.
 * @param {any} video @param {any} audio inbound-rtp reports
 * @returns {number | null} video minus audio; positive when the picture is late
 */
export function skewMs(video, audio) {
  if (!video?.estimatedPlayoutTimestamp || !audio?.estimatedPlayoutTimestamp) return null;
  const videoLag = video.timestamp - video.estimatedPlayoutTimestamp;
  const audioLag = audio.timestamp - audio.estimatedPlayoutTimestamp;
  return videoLag - audioLag;
}

/** @param {Map<string, any>} reports @param {string} type @param {string} kind */
function pick(reports, type, kind) {
  return [...reports.values()].find((r) => r.type === type && r.kind === kind);
}

/** @param {unknown} value @param {number} [scale] @returns {number | null} */
function finite(value, scale = 1) {
  return typeof value === "number" && Number.isFinite(value) ? value * scale : null;
}

/** @param {(number | null)[]} values @returns {number | null} null unless all are known */
function sumOrNull(...values) {
  return values.includes(null)
    ? null
    : values.reduce((a, b) => /** @type {number} */ (a) + /** @type {number} */ (b), 0);
}
