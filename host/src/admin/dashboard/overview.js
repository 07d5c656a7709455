// The first page: what needs attention, then every plugin with its flow, its charts and the host's advice.

function overviewPage() {
  const totals = h("ul", { class: "totals" });
  const careList = h("ul", { class: "cares" });
  const allWell = h(
    "p",
    { class: "well", hidden: true },
    s(
      "svg",
      { class: "mark", viewBox: "0 0 16 16", "aria-hidden": "true" },
      s("path", { class: "check", d: "M3 8.5 6.5 12 13 4.5" }),
    ),
    "Nothing needs attention.",
  );
  const cards = h("div", { class: "cards" });
  const none = h("p", {
    class: "empty",
    hidden: true,
    text: "This host has no plugins: add one under `[plugins.NAME]` in its gristmill.toml.",
  });
  const title = h("h1", { tabindex: "-1", class: "unseen", text: "Plugins" });
  const el = h(
    "div",
    { class: "overview" },
    title,
    h("section", { class: "panel attention", "aria-label": "Attention" }, totals, careList, allWell),
    cards,
    none,
  );
  return {
    el,
    title,
    update({ plugins, histories }) {
      keep(totals, totalsOf(plugins), ({ of }) => of, totalItem);
      const found = plugins.map((plugin) => ({
        plugin: plugin.name,
        cares: cares(plugin, histories.get(plugin.name)),
      }));
      const some = found
        .filter(({ cares }) => cares.length > 0)
        .sort((one, other) => worst(one) - worst(other));
      keep(careList, some, ({ plugin }) => plugin, careGroup);
      show(allWell, some.length === 0 && plugins.length > 0);
      show(none, plugins.length === 0);
      const items = plugins.map((plugin) => ({ plugin, history: histories.get(plugin.name) }));
      keep(cards, items, ({ plugin }) => plugin.name, pluginCard);
    },
  };
}

/** The figures of the whole host. */
function totalsOf(plugins) {
  const total = (read) => plugins.reduce((sum, plugin) => sum + read(plugin), 0);
  return [
    { of: plugins.length === 1 ? "plugin" : "plugins", figure: count(plugins.length) },
    { of: "handled", figure: perSecond(total((plugin) => plugin.handled_per_second)) },
    { of: "in flight", figure: count(total((plugin) => plugin.in_flight)) },
    { of: "behind", figure: count(total((plugin) => plugin.lag ?? 0)) },
  ];
}

function totalItem({ of }) {
  const figure = h("b", { class: "figure" });
  return { el: h("li", {}, figure, ` ${of}`), update: (total) => put(figure, total.figure) };
}

/** The shape of each level of care. */
const CARE_MARKS = {
  bad: MARKS.troubled,
  warn: () => [s("path", { d: "M8 1.5 14.5 8 8 14.5 1.5 8Z" })],
  note: () => [
    s("circle", { class: "ring", cx: 8, cy: 8, r: 5.5 }),
    s("path", { class: "stroke", d: "M8 7.4v3.4M8 4.9v.7" }),
  ],
};

/** How bad the worst is that a plugin has. */
function worst({ cares }) {
  return Math.min(...cares.map(({ level }) => LEVELS_OF_CARE.indexOf(level)));
}

/** What one plugin needs, the worst first. */
function careGroup({ plugin }) {
  const list = h("ul");
  const el = h("li", {}, h("a", { class: "who", href: addressOf(plugin), text: plugin }), list);
  return {
    el,
    update: ({ cares }) => keep(list, cares, ({ about, level }) => `${about} ${level}`, careItem),
  };
}

function careItem({ plugin, level, section }) {
  const text = h("a", { href: addressOf(plugin, section) });
  const words = { bad: "Trouble", warn: "Warning", note: "Note" }[level];
  const mark = s(
    "svg",
    { class: "mark", viewBox: "0 0 16 16", role: "img", "aria-label": words },
    CARE_MARKS[level](),
  );
  return {
    el: h("li", { "data-level": level }, mark, text),
    update: (care) => putCoded(text, capital(care.text)),
  };
}

/** The address of a plugin's page, and of a section on it. */
function addressOf(plugin, section = "") {
  return `#/plugins/${encodeURIComponent(plugin)}${section ? `/${section}` : ""}`;
}

/** One plugin: everything that can be told of it at a glance. */
function pluginCard({ plugin: { name } }) {
  const state = stateMark();
  const held = h("span", { class: "tag", hidden: true });
  const trial = h("a", { class: "tag link", href: addressOf(name, "trial"), hidden: true });
  const version = h("span", { class: "version" });
  const reason = h("p", { class: "reason", hidden: true });
  const flow = flowDiagram();
  const charts = graphs();
  const advice = adviceList();
  const heading = freshId("plugin");
  const head = h(
    "header",
    {},
    h("h2", { id: heading }, h("a", { href: addressOf(name), text: name })),
    state.el,
    held,
    trial,
    version,
  );
  const el = h(
    "article",
    { class: "panel card", "aria-labelledby": heading },
    head,
    reason,
    flow.el,
    charts.el,
    advice.el,
  );
  return {
    el,
    update({ plugin, history }) {
      state.update(plugin);
      const by = heldBy(plugin, history);
      show(held, by !== null);
      if (by) put(held, `held by ${by}`);
      show(trial, plugin.trial !== null);
      if (plugin.trial) put(trial, `${plugin.trial.mode} ${percentOf(plugin.trial.percent)}`);
      put(
        version,
        plugin.digest
          ? `${short(plugin.digest)}${plugin.component.source === "swapped" ? ", swapped in" : ""}`
          : "not loaded",
      );
      show(reason, Boolean(plugin.reason));
      putCoded(reason, plugin.reason);
      flow.update(plugin, history);
      charts.update(plugin, history);
      advice.update(plugin);
    },
  };
}
