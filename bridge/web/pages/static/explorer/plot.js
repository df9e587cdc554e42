// Two minutes of a figure, one value a second, as a line.

const SECONDS = 120;

export class Plot {
  /** @param {SVGElement} svg with a polyline; drawn from the right */
  constructor(svg) {
    this.line = svg.querySelector("polyline");
    this.values = [];
  }

  /** Adds the value of one second; null is a gap that repeats the last. */
  add(value) {
    this.values.push(value ?? this.values.at(-1) ?? 0);
    if (this.values.length > SECONDS) this.values.shift();
    const most = Math.max(1, ...this.values);
    const from = SECONDS - this.values.length;
    const points = this.values.map((each, at) => `${from + at},${(26 - (each / most) * 24).toFixed(1)}`);
    this.line.setAttribute("points", points.join(" "));
  }
}
