const SVG = "http://www.w3.org/2000/svg";
const POINTS = 60;
const WIDTH = 72;
const HEIGHT = 22;

/** The last minute of one number as a line. */
export class Sparkline {
  /** @type {(number | null)[]} */ #values = [];
  #line = document.createElementNS(SVG, "polyline");

  /** @param {number[]} range lowest and highest value drawn */
  constructor([low, high]) {
    this.low = low;
    this.high = high;
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("aria-hidden", "true");
    this.svg.append(this.#line);
  }

  /** @param {number | null} value null leaves a gap in time */
  push(value) {
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
    this.#draw();
  }

  clear() {
    this.#values = [];
    this.#draw();
  }

  destroy() {
    this.svg.remove();
  }

  #draw() {
    const points = this.#values.map((value, i) =>
      value === null ? "" : `${this.#x(i)},${this.#y(value)}`,
    );
    this.#line.setAttribute("points", points.filter(Boolean).join(" "));
  }

  /** @param {number} index */
  #x(index) {
    return ((index * WIDTH) / (POINTS - 1)).toFixed(1);
  }

  /** @param {number} value */
  #y(value) {
    const share = (value - this.low) / (this.high - this.low);
    return (HEIGHT * (1 - Math.min(1, Math.max(0, share)))).toFixed(1);
  }
}
