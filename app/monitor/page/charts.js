// Pictures of numbers, drawn by uPlot in the theme's colours. Each says in its label what it shows, for whoever cannot
// see it; the numbers are in a table beside it.

const uPlot = window.uPlot;
const DASHES = { one: [], two: [6, 4], three: [2, 3] };
const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif';
const all = new Set();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

class Chart {
  constructor(host, options) {
    this.host = host;
    this.options = options;
    this.data = options.series.map(() => []);
    this.shown = "";
    this.plot = null;
    all.add(this);
    new ResizeObserver(() => this.fit()).observe(host);
  }

  /** `label` says in words what the picture shows. */
  draw(data, label) {
    if (this.host.getAttribute("aria-label") !== label) this.host.setAttribute("aria-label", label);
    const shown = JSON.stringify(data);
    if (shown === this.shown) return;
    this.shown = shown;
    this.data = data;
    if (this.plot) this.plot.setData(data);
    else this.fit();
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (!width || !this.shown) return;
    if (this.plot) this.plot.setSize({ width, height });
    else this.plot = new uPlot({ ...this.options, ...look(this.options), width, height }, this.data, this.host);
  }

  again() {
    this.plot?.destroy();
    this.plot = null;
    this.fit();
  }
}

function look({ axes, series }) {
  const [ink, line] = [colour("quiet"), colour("line")];
  return {
    legend: { show: false },
    cursor: { y: false, drag: { x: false, setScale: false }, points: { show: false } },
    padding: [8, 28, 0, 0],
    axes: axes.map((axis) => ({
      font: FONT,
      stroke: ink,
      grid: { stroke: line, width: 1, show: axis.lines !== false },
      ticks: { show: false },
      gap: 6,
      ...axis,
    })),
    series: series.map(({ ink: name, filled, ...one }) => (name ? { stroke: colour(name), fill: filled && colour(name), ...one } : one)),
  };
}

document.addEventListener("theme", () => all.forEach((chart) => chart.again()));

const line = (ink) => ({
  ink,
  width: 2,
  dash: DASHES[ink],
  points: { show: false },
  spanGaps: false,
});

const fromZero = (least) => (_, __, max) => [0, Math.max(least, (max ?? 0) * 1.1)];

/** Lines over time. x: seconds since 1970; `least`: the smallest scale that is drawn; `say`: a tick in words. */
export function overTime(host, inks, { least, say }) {
  return new Chart(host, {
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { y: { range: fromZero(least) } },
    axes: [
      { size: 28, space: 72, lines: false, values: (_, ticks) => ticks.map(minuteOf) },
      { size: 58, space: 32, values: (_, ticks) => ticks.map(say) },
    ],
    series: [{}, ...inks.map(line)],
  });
}

const minuteOf = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);

/** Lines by day, 0 to 1. x: 0, 1, 2 …; `names` gives the days. */
export function byDay(host, inks, names) {
  return new Chart(host, {
    scales: { x: { time: false, range: (_, min, max) => [min - 0.25, max + 0.25] }, y: { range: [0, 1] } },
    axes: [
      { size: 28, space: 64, lines: false, incrs: [1, 2, 5, 10, 20, 50], values: (_, ticks) => ticks.map((tick) => names()[tick] ?? "") },
      { size: 44, splits: () => [0, 0.2, 0.4, 0.6, 0.8, 1], values: (_, ticks) => ticks.map((tick) => tick.toFixed(1)) },
    ],
    series: [{}, ...inks.map((ink) => ({ ...line(ink), points: { show: true, size: 6 } }))],
  });
}

/** Shares beside those that they are held against; x: the bin's number, `edges` names the bins. */
export function histogram(host, edges) {
  return new Chart(host, {
    scales: { x: { time: false, range: (_, min, max) => [min - 0.6, max + 0.6] }, y: { range: fromZero(0.1) } },
    axes: [
      { size: 28, space: 56, lines: false, incrs: [1, 2, 5, 10], values: (_, ticks) => ticks.map((tick) => edges()[tick] ?? "") },
      { size: 58, space: 32, values: (_, ticks) => ticks.map(shareOf) },
    ],
    series: [
      {},
      { ink: "one", width: 0, filled: true, paths: uPlot.paths.bars({ size: [0.4, 40], align: -1 }), points: { show: false } },
      { ink: "two", width: 2, paths: uPlot.paths.bars({ size: [0.4, 40], align: 1, gap: 4 }), points: { show: false } },
    ],
  });
}

const shareOf = (share) => `${Number((share * 100).toPrecision(3))} %`;
