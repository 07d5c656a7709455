// Which charts there are: what each draws, the figure beside its title, and the words below.

/** The scale of failures reaches up to so many a second at least: one that comes now and then is no mountain. */
const FAILURES_LEAST = 0.5;

const GRAPHS = [
  {
    id: "throughput",
    title: "Throughput",
    format: perSecond,
    scale: "zero",
    lines: [
      { series: "handled", name: "handled", as: "area" },
      { series: "rate", name: "rate", as: "limit" },
    ],
    figure: (plugin) => perSecond(plugin.handled_per_second),
    note: ({ budget }) =>
      budget.rate
        ? `rate ${rateWords(budget.rate)}${budget.scope === "group" ? ", for the whole group" : ""}`
        : "no rate",
  },
  {
    id: "in-flight",
    title: "In flight",
    format: count,
    isWhole: true,
    scale: "zero",
    lines: [
      { series: "in_flight", name: "in flight", as: "area" },
      { series: "concurrency", name: "concurrency", as: "limit" },
    ],
    figure: (plugin) => count(plugin.in_flight),
    note: ({ budget }) => `concurrency ${count(budget.concurrency)}`,
  },
  {
    id: "buffer",
    title: "Buffer",
    format: percent,
    scale: "share",
    lines: [{ series: "buffer", name: "full", as: "area" }],
    figure: (plugin) => percent(bufferFill(plugin)),
    note: (plugin) =>
      `${count(plugin.buffer_messages)} of ${count(plugin.budget.buffer)}, ${bytes(plugin.buffer_bytes)}`,
  },
  {
    id: "lag",
    title: "Lag",
    format: count,
    isWhole: true,
    scale: "level",
    lines: [{ series: "lag", name: "behind", as: "line" }],
    figure: (plugin) => count(plugin.lag),
    note: lagWords,
  },
  {
    id: "time",
    title: "Time p50, p99",
    format: duration,
    scale: "log",
    band: true,
    lines: [
      { series: "p50", name: "p50", as: "line" },
      { series: "p99", name: "p99", as: "dots" },
    ],
    figure: (plugin) => duration(plugin.handle_seconds.p50),
    note: (plugin) => `p99 ${duration(plugin.handle_seconds.p99)}`,
  },
  {
    id: "failures",
    title: "Failed attempts",
    format: perSecond,
    scale: "zero",
    least: FAILURES_LEAST,
    lines: [
      { series: "failed", name: "failed", as: "bars" },
      { series: "given_up", name: "given up", as: "bars-inner" },
    ],
    figure: (_, history) => count(sum(history.fine.failed)),
    note: (_, history) => kindsLately(history),
  },
];

/** The ways in which attempts fail, as the API's kinds and as people say them. */
const KINDS = { trap: "trap", timeout: "time-out", cpu: "CPU", memory: "memory", exit: "exit" };

/** How often each kind of failure came lately, the kind that the plugin itself reports last. */
function failuresLately(history) {
  const traps = TRAPS.map((kind) => ({ kind, words: KINDS[kind], times: sum(history.fine[`trap:${kind}`]) }));
  const trapped = traps.reduce((total, { times }) => total + times, 0);
  const reported = Math.max(0, sum(history.fine.failed) - trapped);
  return [...traps, { kind: "reported", words: "reported by the plugin", times: reported }];
}

function kindsLately(history) {
  const found = failuresLately(history)
    .filter(({ times }) => times > 0)
    .sort((one, other) => other.times - one.times);
  if (found.length === 0) return "none in the last 5 min";
  return found
    .map(({ words, times }) => `${count(times)} ${words === "reported by the plugin" ? "reported" : words}`)
    .join(", ");
}

/** One chart with its figure and words: small on the overview, large on the plugin's page. */
function graphCard(graph, { large = false } = {}) {
  const figure = h("b", { class: "figure" });
  const words = note();
  const drawing = chart(graph, { large });
  const title = h("h3", { text: graph.title });
  const key = large && graph.lines.length > 1 ? legend(graph) : null;
  const el = h(
    "div",
    { class: large ? "graph large" : "graph", "data-graph": graph.id },
    h("div", { class: "head" }, title, figure),
    drawing.el,
    h("div", { class: "foot" }, words, key),
    drawing.readout,
  );
  return {
    el,
    update(plugin, history, span = "fine") {
      put(figure, graph.figure(plugin, history));
      put(words, graph.note(plugin, history));
      drawing.update(history[span], SPANS[span]);
    },
  };
}

/** What each line looks like. */
function legend({ lines }) {
  const sample = ({ as, name }) =>
    h(
      "li",
      {},
      s(
        "svg",
        { viewBox: "0 0 24 10", "aria-hidden": "true" },
        s("path", {
          class: `line ${as}`,
          d: as.startsWith("bars") ? "M4,10V2H10V10ZM13,10V5H19V10Z" : "M0,5H24",
        }),
      ),
      name,
    );
  return h("ul", { class: "legend" }, lines.map(sample));
}

/** All charts of a plugin. */
function graphs({ large = false } = {}) {
  const cards = GRAPHS.map((graph) => graphCard(graph, { large }));
  return {
    el: h("div", { class: large ? "graphs large" : "graphs" }, elements(cards)),
    update(plugin, history, span) {
      for (const card of cards) card.update(plugin, history, span);
    },
  };
}

/** A row for each kind of failure and of what became of messages: a small chart, lately, and ever since. */
function failureTable() {
  const body = h("tbody");
  const head = h(
    "thead",
    {},
    h(
      "tr",
      {},
      h("th", { scope: "col", text: "Kind" }),
      h("th", { scope: "col", text: "Last 5 min" }),
      h("th", { scope: "col", class: "number", text: "Times" }),
      h("th", { scope: "col", class: "number", text: "Since the start" }),
    ),
  );
  const rows = [
    {
      id: "failed",
      words: "Attempts that failed",
      ever: (plugin) => plugin.retries + givenUp(plugin.messages),
    },
    ...TRAPS.map((kind) => ({
      id: `trap:${kind}`,
      words: `Broken off: ${KINDS[kind]}`,
      ever: (plugin) => plugin.traps[kind],
    })),
    ...OUTCOMES.slice(1).map((kind) => ({
      id: kind,
      words: `Messages ${kind}`,
      ever: (plugin) => plugin.messages[kind],
    })),
  ];
  return {
    el: h(
      "table",
      { class: "failures" },
      h("caption", { class: "unseen", text: "Failures by kind" }),
      head,
      body,
    ),
    update(plugin, history) {
      const items = rows.map((row) => ({ ...row, plugin, history }));
      keep(body, items, ({ id }) => id, failureRow);
    },
  };
}

function failureRow({ id, words }) {
  const lines = [{ series: id, name: words, as: "bars" }];
  const drawing = chart({ title: words, format: perSecond, scale: "zero", least: FAILURES_LEAST, lines });
  const [lately, since] = [h("td", { class: "number" }), h("td", { class: "number" })];
  const el = h(
    "tr",
    {},
    h("th", { scope: "row", text: words }),
    h("td", { class: "spark" }, drawing.el),
    lately,
    since,
  );
  return {
    el,
    update({ plugin, history, ever }) {
      drawing.update(history.fine, SPANS.fine);
      put(lately, count(sum(history.fine[id])));
      put(since, count(ever(plugin) ?? 0));
      attribute(el, "class", (ever(plugin) ?? 0) === 0 ? "none" : null);
    },
  };
}
