// A plugin's own page: everything that is known of it, and everything that an operator may do to it.

/** How often what is too much for the list is asked for: partitions, and who changed what. */
const DETAIL_ASK_MS = 3_000;

/** The sections that the page's own menu names. */
const MENU = {
  charts: "Charts",
  budget: "Budget",
  where: "Find a message",
  changes: "Changes",
  version: "Version",
  letters: "Dead letters",
  partitions: "Partitions",
};

/** The page of one plugin; when `signal` aborts it asks for nothing more. */
function pluginPage(name, signal) {
  const state = stateMark();
  const [held, reason] = [
    h("span", { class: "tag", hidden: true }),
    h("p", { class: "reason", hidden: true }),
  ];
  const title = h("h1", { tabindex: "-1", text: name });
  const pause = pauseButton(name);
  const menu = h(
    "nav",
    { class: "menu", "aria-label": "On this page" },
    Object.entries(MENU).map(([id, text]) => h("a", { href: addressOf(name, id), text })),
  );
  const head = h(
    "header",
    { class: "page" },
    h("a", { class: "up", href: "#/" }, "‹ All plugins"),
    h("div", { class: "title" }, title, state.el, held, pause.el),
    reason,
    menu,
  );
  const flow = flowDiagram();
  const [advice, settings] = [adviceList(), settingsPart()];
  const way = section("flow", "The way of its messages", flow.el, advice.el, settings.el);
  const [trial, parked, charts] = [trialSection(name), parkedSection(name, signal), chartsSection()];
  const [budget, version, where, letters] = [
    budgetSection(name),
    versionSection(name),
    whereSection(name, signal),
    lettersSection(name),
  ];
  const [partitions, changes] = [partitionsSection(), changesSection()];
  const columns = [
    [budget, where, changes],
    [version, letters, partitions],
  ].map((parts) =>
    h(
      "div",
      { class: "column" },
      parts.map((part) => part.el),
    ),
  );
  const el = h(
    "div",
    { class: "plugin" },
    head,
    way,
    trial.el,
    parked.el,
    charts.el,
    h("div", { class: "columns" }, columns),
  );

  repeat(DETAIL_ASK_MS, signal, async () => {
    const detail = await call("GET", pathOf(name)).catch(() => null);
    if (detail && !signal.aborted) for (const part of [partitions, changes]) part.update(detail);
  });
  return {
    el,
    title,
    update({ plugins, histories }) {
      const plugin = plugins.find((plugin) => plugin.name === name);
      if (!plugin) return;
      const history = histories.get(name);
      state.update(plugin);
      pause.update(plugin);
      const by = plugin.state === "running" ? heldBy(history) : null;
      show(held, by !== null);
      if (by) put(held, `held by ${by.by}`);
      show(reason, Boolean(plugin.reason));
      putCoded(reason, plugin.reason);
      flow.update(plugin, history);
      advice.update(plugin);
      settings.update(plugin);
      for (const part of [trial, parked, charts, budget, version, where, letters])
        part.update(plugin, history);
    },
  };
}

/** Pauses after asking, resumes at once: what resumes keeps to its budget. */
function pauseButton(name) {
  let plugin = null;
  const el = button("Pause…", async () => {
    if (plugin.state === "paused") return resume(name);
    const flight =
      plugin.in_flight > 0
        ? `What is in flight (${count(plugin.in_flight)}) is finished; then nothing`
        : "Nothing";
    const says = [
      `${flight} is started until you resume. It stays in its consumer group and keeps its ${counted(plugin.partitions, "partition")}; what comes meanwhile waits in Kafka.`,
    ];
    await ask({
      title: `Pause ${name}?`,
      says,
      yes: "Pause",
      act: () => call("POST", pathOf(name, "pause")),
      done: () => `\`${name}\` is paused`,
    });
  });
  return {
    el,
    update(news) {
      plugin = news;
      put(el, news.state === "paused" ? "Resume" : "Pause…");
      attribute(el, "class", news.state === "paused" ? "primary" : null);
      show(el, news.state !== "draining");
    },
  };
}

async function resume(name) {
  try {
    await call("POST", pathOf(name, "resume"));
    notice(`\`${name}\` goes on`);
  } catch (problem) {
    notice(`\`${name}\` does not resume: ${problem.message}`, true);
  }
}

/** The large charts, and failures by kind. */
function chartsSection() {
  const charts = graphs({ large: true });
  const failures = failureTable();
  const group = freshId("span");
  let span = "fine";
  const radio = (value) =>
    h(
      "label",
      {},
      h("input", {
        type: "radio",
        name: group,
        value,
        checked: value === span,
        onchange: () => (span = value),
      }),
      h("span", { text: SPANS[value].words }),
    );
  const choice = h(
    "fieldset",
    { class: "spans" },
    h("legend", { class: "unseen", text: "Time shown" }),
    radio("fine"),
    radio("coarse"),
  );
  const hint = h("p", {
    class: "note",
    text: "Since this page was opened. p50 and p99 are those of the minute before. Arrow keys move through a chart that has the focus.",
  });
  return {
    el: section("charts", "Charts", choice, charts.el, failures.el, hint),
    update(plugin, history) {
      charts.update(plugin, history, span);
      failures.update(plugin, history);
    },
  };
}
