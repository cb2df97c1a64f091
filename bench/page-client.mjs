// Runs in the reader's browser: draws the charts of the page's results into their places with uPlot.
/* global uPlot */

const palettes = {
  coracle: ["#1f5fbf", "#63a4e8", "#0b2f66", "#3f7f8f"],
  etcd: ["#d9541e", "#f2a65a", "#8c2f0b", "#c98b6b"],
  other: ["#6b7280", "#2f8f5b", "#8a5fbf", "#b08a00", "#111827"],
};
const height = 260;
const groupWidth = 0.8;

/** The colours of a chart's lines: each system has shades of its own. */
function coloursOf(lines) {
  const used = { coracle: 0, etcd: 0, other: 0 };
  return lines.map(({ name }) => {
    const system = name.startsWith("coracle") ? "coracle" : name.startsWith("etcd") ? "etcd" : "other";
    const shades = palettes[system];
    return shades[used[system]++ % shades.length];
  });
}

function numberText(value) {
  if (value === null || value === undefined) return "–";
  const digits = Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

/** One column of x for all lines, and a column of y each with gaps where it has no point. */
function columnsOf({ groups, lines }) {
  const xs = groups
    ? groups.map((_, index) => index)
    : [...new Set(lines.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
  return [
    xs,
    ...lines.map(({ points }) => {
      const byX = new Map(points);
      return xs.map((x) => byX.get(x) ?? null);
    }),
  ];
}

/** Of one line among the bars of each group. */
function barPaths(at, count) {
  const width = groupWidth / count;
  return uPlot.paths.bars({
    disp: {
      x0: { unit: 1, values: (u) => u.data[0].map((x) => x - groupWidth / 2 + at * width) },
      size: { unit: 1, values: () => [width * 0.92] },
    },
  });
}

function seriesOf(chart) {
  const colours = coloursOf(chart.lines);
  return chart.lines.map(({ name, points }, at) => {
    const common = { label: name, value: (_, value) => numberText(value) };
    if (chart.groups) {
      const paths = barPaths(at, chart.lines.length);
      return { ...common, fill: colours[at], stroke: colours[at], width: 0, paths, points: { show: false } };
    }
    return {
      ...common,
      ...{ stroke: colours[at], width: 1.5, spanGaps: true, points: { show: points.length <= 40, size: 5 } },
    };
  });
}

function draw(place, chart) {
  const { title, x, y, groups } = chart;
  const nameOf = (value) => (groups ? (groups[value] ?? "") : numberText(value));
  const xAxis = groups
    ? { splits: () => groups.map((_, index) => index), values: (_, splits) => splits.map(nameOf) }
    : { values: (_, splits) => splits.map(numberText) };
  new uPlot(
    {
      title,
      width: place.clientWidth,
      height,
      scales: {
        x: { time: false, ...(groups ? { range: [-0.5, groups.length - 0.5] } : {}) },
        y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.06 : 1] },
      },
      axes: [
        { ...xAxis, label: x, labelSize: 18, size: 34, grid: { show: !groups } },
        { label: y, labelSize: 18, size: 64, values: (_, splits) => splits.map(numberText) },
      ],
      cursor: { drag: { x: false, y: false }, points: { show: !groups } },
      series: [{ label: x, value: (_, value) => (value === null ? "–" : nameOf(value)) }, ...seriesOf(chart)],
    },
    columnsOf(chart),
    place,
  );
}

const parts = JSON.parse(document.getElementById("charts").textContent);
for (const place of document.querySelectorAll(".chart")) {
  const chart = parts.find(({ part }) => part === place.dataset.part)?.charts[Number(place.dataset.at)];
  if (chart) draw(place, chart);
}
