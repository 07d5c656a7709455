// Line charts in SVG, as small as what they have to do: a few series over the last minutes, a limit beside them, and
// on large ones a scale and a cursor that arrow keys move as well as the pointer. Lines differ in shape, not in
// colour alone.

/** The drawing's own units; it is stretched to whatever room there is. */
const WIDTH = 1000;
const HEIGHT = 100;

/** Bars are this many seconds or steps wide, so that they can be told apart. */
const BAR_STEPS = 5;

/**
 * A chart of `graph`: `lines` (each a `series`, a `name`, and how it is drawn: area, line, dots, bars, bars-inner or
 * limit), a `scale` (zero, level, log or share), a `format` for its figures, and whether those are `isWhole`.
 */
function chart(graph, { large = false } = {}) {
  const paths = graph.lines.map((line) =>
    s("path", { class: `line ${line.as}`, "vector-effect": "non-scaling-stroke" }),
  );
  // What is shaded: below an area's line, or between the first two lines.
  const shaded = graph.lines[0].as === "area" ? below : graph.band ? between : null;
  const shade = s("path", { class: "shade" });
  const grid = s("g", { class: "grid" });
  const cursor = s("line", {
    class: "cursor",
    y1: 0,
    y2: HEIGHT,
    "vector-effect": "non-scaling-stroke",
    hidden: true,
  });
  const drawing = s(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    grid,
    shade,
    paths,
    cursor,
  );
  const marks = h("div", { class: "marks", "aria-hidden": "true" });
  // The cursor of a large one makes it a slider over time.
  const role = large
    ? { class: "plot large", role: "slider", tabindex: 0, "aria-valuemin": 0 }
    : { class: "plot", role: "img" };
  const el = h("div", role, drawing, large ? marks : null);
  let shown = null;
  const readout = large ? withCursor(el, cursor, graph, () => shown) : null;

  /** Draws one of a plugin's histories; `span` says how long its steps are. */
  function update(rings, span) {
    const values = graph.lines.map((line) => numbers(rings[line.series], line.as));
    const range = rangeOf(graph, values);
    shown = { values, seconds: span.seconds, length: values[0].length };
    values.forEach((ys, index) => attribute(paths[index], "d", shape(graph.lines[index].as, ys, range)));
    if (shaded) attribute(shade, "d", shaded(range, ...values));
    if (large) scale(grid, marks, range, graph);
    attribute(el, "aria-label", `${graph.title}, last ${span.words}: ${described(values[0], graph.format)}`);
    readout?.refresh();
  }
  return { el, readout: readout?.el, update };
}

/** A ring's numbers in order; for bars, each is the mean of a few that stay together while they move on. */
function numbers(ring, as) {
  const all = Array.from({ length: ring.length }, (_, index) => ring.at(index));
  if (!isBars(as)) return all;
  const first = BAR_STEPS - (ring.total % BAR_STEPS);
  return all.map((_, index) => {
    const start = index - ((index - first + ring.length * BAR_STEPS) % BAR_STEPS);
    const group = all.slice(Math.max(0, start), start + BAR_STEPS).filter((value) => !Number.isNaN(value));
    return group.length > 0 ? group.reduce((sum, value) => sum + value, 0) / group.length : NaN;
  });
}

function isBars(as) {
  return as === "bars" || as === "bars-inner";
}

/** From where to where the scale goes. A limit belongs to it unless it would press everything else flat. */
function rangeOf(graph, values) {
  if (graph.scale === "share") return { low: 0, high: 1, place: (value) => value };
  const known = values.flatMap((ys, index) =>
    graph.lines[index].as === "limit" ? [] : ys.filter((y) => !Number.isNaN(y)),
  );
  const limits = values.flatMap((ys, index) =>
    graph.lines[index].as === "limit" ? ys.filter((y) => !Number.isNaN(y)) : [],
  );
  const most = known.reduce((high, value) => Math.max(high, value), 0);
  const least = known.reduce((low, value) => Math.min(low, value), most);
  if (graph.scale === "log") {
    const low = 10 ** Math.floor(Math.log10(Math.max(least, 1e-6)));
    const high = Math.max(low * 10, 10 ** Math.ceil(Math.log10(Math.max(most, 1e-6))));
    const decades = Math.log10(high / low);
    return { low, high, isLog: true, place: (value) => Math.log10(Math.max(value, low) / low) / decades };
  }
  if (graph.scale === "level") {
    // Noise is not magnified: the scale spans a hundredth of the figure at least.
    const room = Math.max((most - least) * 0.1, most * 0.005, 0.5);
    const low = Math.max(0, least - room);
    return linear(low, most + room);
  }
  const limit = limits.reduce((high, value) => Math.max(high, value), 0);
  const fits = limit > 0 && (most === 0 || limit <= most * 3);
  return linear(0, Math.max(most, fits ? limit : 0, graph.least ?? 1e-9) * 1.12);
}

function linear(low, high) {
  return { low, high, place: (value) => (value - low) / (high - low) };
}

function shape(as, ys, range) {
  if (isBars(as)) return bars(ys, range);
  const x = (index) => round((index / (ys.length - 1)) * WIDTH);
  let d = "";
  let isOn = false;
  ys.forEach((y, index) => {
    if (!Number.isNaN(y)) {
      // From a step before, so that a single point is seen as well.
      if (!isOn) d += `M${round(x(index) - WIDTH / ys.length)},${height(y, range)}`;
      d += as === "limit" ? `H${x(index)}V${height(y, range)}` : `L${x(index)},${height(y, range)}`;
    }
    isOn = !Number.isNaN(y);
  });
  return d;
}

/** What lies below a line. */
function below(range, ys) {
  return between(
    range,
    ys.map((y) => (Number.isNaN(y) ? NaN : 0)),
    ys,
  );
}

function bars(ys, range) {
  const width = WIDTH / ys.length;
  let d = "";
  ys.forEach((y, index) => {
    if (y > 0)
      d += `M${round(index * width)},${HEIGHT}V${height(y, range)}h${round(width * 1.02)}V${HEIGHT}Z`;
  });
  return d;
}

/** What lies between two lines, wherever both are known. */
function between(range, lower, upper) {
  const point = (ys, index) => `${round((index / (ys.length - 1)) * WIDTH)},${height(ys[index], range)}`;
  const close = (from, to) => {
    const indexes = Array.from({ length: to - from }, (_, step) => from + step);
    const there = indexes.map((index) => point(upper, index));
    const back = indexes.reverse().map((index) => point(lower, index));
    return `M${[...there, ...back].join("L")}Z`;
  };
  let d = "";
  let start = null;
  for (let index = 0; index <= lower.length; index += 1) {
    const isKnown = index < lower.length && !Number.isNaN(lower[index]) && !Number.isNaN(upper[index]);
    if (isKnown) start ??= index;
    else if (start !== null) {
      d += close(start, index);
      start = null;
    }
  }
  return d;
}

function height(value, range) {
  // A limit far beyond the scale stays out of sight, but near, so that no number becomes absurd.
  return round(HEIGHT * (1 - Math.min(2, range.place(value))));
}

function round(number) {
  return Math.round(number * 10) / 10;
}

/** Lines across and what they stand for. */
function scale(grid, marks, range, { format, isWhole }) {
  const ticks = ticksOf(range, isWhole).map((value) => ({
    value,
    top: round((1 - range.place(value)) * 100),
  }));
  // More digits until no two marks read the same.
  const labels = [0, 1, 2, 3].map((more) => ticks.map(({ value }) => format(value, more)));
  const apart = labels.find((texts) => new Set(texts).size === texts.length) ?? labels[0];
  ticks.forEach((tick, index) => (tick.label = apart[index]));
  const key = ({ value, label }) => `${value} ${label}`;
  keep(grid, ticks, key, () => {
    const el = s("line", { x1: 0, x2: WIDTH, "vector-effect": "non-scaling-stroke" });
    return { el, update: ({ top }) => ["y1", "y2"].forEach((name) => attribute(el, name, top)) };
  });
  keep(marks, ticks, key, ({ label }) => {
    const el = h("span", { text: label });
    return { el, update: ({ top }) => variable(el, "--top", `${top}%`) };
  });
}

function ticksOf({ low, high, isLog }, isWhole) {
  const ticks = [];
  if (isLog) {
    const decades = Math.round(Math.log10(high / low));
    const step = Math.ceil(decades / 3);
    for (let decade = 0; decade <= decades; decade += step) ticks.push(low * 10 ** decade);
    return ticks;
  }
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const sizes = [1, 2, 2.5, 5, 10].map((factor) => factor * power);
  const step = sizes.find((size) => size >= rough * 0.8 && (!isWhole || Number.isInteger(size))) ?? 1;
  for (let value = Math.ceil(low / step) * step; value <= high; value += step)
    ticks.push(Number(value.toPrecision(12)));
  return ticks;
}

function described(ys, format) {
  const known = ys.filter((y) => !Number.isNaN(y));
  if (known.length === 0) return "nothing known yet";
  const least = known.reduce((low, value) => Math.min(low, value));
  const most = known.reduce((high, value) => Math.max(high, value));
  return `now ${format(known[known.length - 1])}, least ${format(least)}, most ${format(most)}`;
}

/** A line that shows the figures of one moment, under the pointer or where the arrow keys take it. */
function withCursor(el, cursor, graph, shown) {
  const readout = h("p", { class: "readout", hidden: true });
  let at = null;
  const last = () => (shown()?.length ?? 1) - 1;
  const go = (index) => {
    at = index === null ? null : Math.min(last(), Math.max(0, Math.round(index)));
    refresh();
  };
  const refresh = () => {
    const now = shown();
    show(readout, at !== null);
    attribute(cursor, "hidden", at === null);
    attribute(el, "aria-valuemax", last());
    attribute(el, "aria-valuenow", at ?? last());
    if (at === null || !now) return;
    for (const name of ["x1", "x2"]) attribute(cursor, name, round((at / last()) * WIDTH));
    const seconds = (last() - at) * now.seconds;
    const figures = graph.lines.map((line, index) => `${line.name} ${graph.format(now.values[index][at])}`);
    put(readout, `${seconds === 0 ? "now" : `${duration(seconds)} ago`}: ${figures.join(", ")}`);
    attribute(el, "aria-valuetext", readout.textContent);
  };
  const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30, Home: -Infinity, End: Infinity };
  const moveByKey = (event) => {
    if (event.key !== "Escape" && !(event.key in steps)) return;
    event.preventDefault();
    go(event.key === "Escape" ? null : (at ?? last()) + steps[event.key]);
  };
  const moveByPointer = (event) => {
    const box = el.getBoundingClientRect();
    go(((event.clientX - box.left) / box.width) * last());
  };
  const listeners = {
    keydown: moveByKey,
    pointermove: moveByPointer,
    focus: () => go(Infinity),
    blur: () => go(null),
    pointerleave: () => go(null),
  };
  for (const [event, listener] of Object.entries(listeners)) el.addEventListener(event, listener);
  return { el: readout, refresh };
}
