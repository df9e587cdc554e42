// A minute of a figure, one value a second, as a line over an area.

const SECONDS = 60;
const WIDTH = 120;
const FLOOR = 26;

export class Plot {
  /**
   * @param {SVGElement} svg with a polygon and a polyline
   * @param {number | null} before the value of the seconds before the first; null: none
   */
  constructor(svg, before) {
    this.area = svg.querySelector("polygon");
    this.line = svg.querySelector("polyline");
    this.values = new Array(SECONDS).fill(before);
    this.draw();
  }

  /** Adds the value of one second; null repeats the last. */
  add(value) {
    this.values.push(value ?? this.values.at(-1));
    this.values.shift();
    this.draw();
  }

  draw() {
    const most = Math.max(1, ...this.values.filter((value) => value !== null));
    const step = WIDTH / (SECONDS - 1);
    const points = this.values
      .map((value, at) => (value === null ? null : [(at * step).toFixed(1), (FLOOR - (value / most) * 22).toFixed(1)]))
      .filter(Boolean);
    const line = points.map(String).join(" ");
    this.line.setAttribute("points", line);
    this.area.setAttribute("points", points.length ? `${points[0][0]},${FLOOR} ${line} ${WIDTH},${FLOOR}` : "");
  }
}
