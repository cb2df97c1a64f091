// Runs in the reader's browser: draws the charts of the page's results into their places with uPlot.
/* global uPlot */

const palettes = {
  coracle: ["#1f5fbf", "#63a4e8", "#0b2f66", "#3f8f9f"],
  etcd: ["#d9541e", "#f2a65a", "#8c2f0b", "#c98b6b"],
  other: ["#6b7280", "#2f8f5b", "#8a5fbf", "#b08a00", "#111827"],
};
const height = 260;
/** Of the distance from group to group, by all bars of a group, and by one of them at most. */
const groupWidth = 0.8;
const barWidthMax = 0.14;

/** The colour of a name, the same in all charts of its part: each system has shades of its own. */
function coloursOf(charts) {
  const used = { coracle: 0, etcd: 0, other: 0 };
  const colours = new Map();
  for (const { name } of charts.flatMap(({ lines }) => lines)) {
    if (colours.has(name)) continue;
    const system = name.startsWith("coracle") ? "coracle" : name.startsWith("etcd") ? "etcd" : "other";
    const shades = palettes[system];
    colours.set(name, shades[used[system]++ % shades.length]);
  }
  return colours;
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
  const width = Math.min(barWidthMax, groupWidth / count);
  return uPlot.paths.bars({
    disp: {
      x0: { unit: 1, values: (u) => u.data[0].map((x) => x + (at - count / 2) * width) },
      size: { unit: 1, values: () => [width * 0.92] },
    },
  });
}

function seriesOf(chart, colours) {
  return chart.lines.map(({ name, points }, at) => {
    const colour = colours.get(name);
    const common = { label: name, value: (_, value) => numberText(value) };
    if (chart.groups) {
      const paths = barPaths(at, chart.lines.length);
      return { ...common, fill: colour, stroke: colour, width: 0, paths, points: { show: false } };
    }
    return {
      ...common,
      ...{ stroke: colour, width: 1.5, spanGaps: true, points: { show: points.length <= 40, size: 5 } },
    };
  });
}

function draw(place, chart, colours) {
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
      series: [
        { label: x, value: (_, value) => (value === null ? "–" : nameOf(value)) },
        ...seriesOf(chart, colours),
      ],
    },
    columnsOf(chart),
    place,
  );
}

for (const { part, charts } of JSON.parse(document.getElementById("charts").textContent)) {
  const colours = coloursOf(charts);
  for (const place of document.querySelectorAll(".chart")) {
    if (place.dataset.part === part) draw(place, charts[Number(place.dataset.at)], colours);
  }
}
