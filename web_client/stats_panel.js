import { element } from "./dom.js";
import { Sparkline } from "./sparkline.js";

/** @typedef {import("./stats.js").Snapshot} Snapshot */
/** @typedef {"good" | "busy" | "bad"} Tone */

/** Judged against the targets: 25 fps, 200 ms, -15..+45 ms. */
const LEAD = [
  {
    key: "fps",
    label: "frames/s",
    unit: "",
    digits: 0,
    range: [0, 30],
    tone: (/** @type {number} */ v) => grade(25 - v, 2, 6),
  },
  {
    key: "addedDelayMs",
    label: "added delay",
    unit: "ms",
    digits: 0,
    range: [0, 300],
    tone: (/** @type {number} */ v) => grade(v, 200, 400),
  },
  {
    key: "skewMs",
    label: "lips vs voice",
    unit: "ms",
    digits: 0,
    range: [-100, 100],
    tone: (/** @type {number} */ v) => grade(Math.max(v - 45, -15 - v), 0, 60),
  },
];

/** @type {{label: string, text: (s: Snapshot) => string}[]} */
const ROWS = [
  { label: "Voice to picture, estimate", text: (s) => ms(s.endToEndMs) },
  { label: "Round trip", text: (s) => ms(s.roundTripMs) },
  {
    label: "Received",
    text: (s) => (s.bitrateKbps === null ? "–" : `${Math.round(s.bitrateKbps)} kbit/s`),
  },
  {
    label: "Packets lost, down / up",
    text: (s) => `${tenths(s.lossPercent)} / ${tenths(s.uplinkLossPercent)} %`,
  },
  {
    label: "Playout, picture / voice",
    text: (s) => `${whole(s.videoPlayoutMs)} / ${ms(s.audioPlayoutMs)}`,
  },
  { label: "Freezes", text: (s) => whole(s.freezes) },
  { label: "Longest frame gap", text: (s) => ms(s.longestGapMs) },
  { label: "New pictures per second", text: (s) => whole(s.serverDrawnFps) },
  {
    label: "Drop / repeat / late",
    text: (s) => [s.serverDropped, s.serverRepeated, s.serverLate].map(whole).join(" / "),
  },
  { label: "Picture", text: (s) => [s.size, s.codec].filter(Boolean).join(" ") || "–" },
];

/** The measurements overlay: three figures that matter with their last minute, then the rest. */
export class StatsPanel {
  /** @type {{value: HTMLElement, line: Sparkline}[]} */ #leads = [];
  /** @type {HTMLElement[]} */ #rows = [];
  /** On a narrow stage only the first three show until the panel is tapped. */
  #onClick = () => (this.root.dataset.full = String(this.root.dataset.full !== "true"));

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    const lead = element("div", { class: "stats-lead" });
    for (const { label, range } of LEAD) {
      const value = element("b", {}, "–");
      const line = new Sparkline(range);
      lead.append(element("div", {}, value, element("span", {}, label), line.svg));
      this.#leads.push({ value, line });
    }
    const rows = element("dl", { class: "stats-rows" });
    for (const { label } of ROWS) {
      const value = element("dd", {}, "–");
      rows.append(element("div", {}, element("dt", {}, label), value));
      this.#rows.push(value);
    }
    root.replaceChildren(lead, rows);
    root.addEventListener("click", this.#onClick);
  }

  /** @param {Snapshot} snapshot */
  show(snapshot) {
    LEAD.forEach(({ key, unit, digits, tone }, i) => {
      const number = /** @type {number | null} */ (snapshot[/** @type {keyof Snapshot} */ (key)]);
      const { value, line } = this.#leads[i];
      value.replaceChildren(
        number === null ? "–" : signless(number, digits),
        element("small", {}, number === null ? "" : unit),
      );
      value.dataset.tone = number === null ? "" : tone(number);
      line.push(number);
    });
    ROWS.forEach(({ text }, i) => (this.#rows[i].textContent = text(snapshot)));
  }

  /** Forgets the last session. */
  clear() {
    for (const { value, line } of this.#leads) {
      value.textContent = "–";
      line.clear();
    }
    for (const row of this.#rows) row.textContent = "–";
  }

  destroy() {
    this.root.removeEventListener("click", this.#onClick);
    this.root.replaceChildren();
  }
}

/** @param {number} value @param {number} good @param {number} bad @returns {Tone} */
function grade(value, good, bad) {
  if (value <= good) return "good";
  return value <= bad ? "busy" : "bad";
}

/** @param {number} value @param {number} digits @returns {string} without "-0" */
function signless(value, digits) {
  return (Number(value.toFixed(digits)) + 0).toString().replace("-", "−");
}

/** @param {number | null} value */
function whole(value) {
  return value === null ? "–" : String(Math.round(value));
}

/** @param {number | null} value */
function ms(value) {
  return value === null ? "–" : `${Math.round(value)} ms`;
}

/** @param {number | null} value */
function tenths(value) {
  return value === null ? "–" : value.toFixed(1);
}
