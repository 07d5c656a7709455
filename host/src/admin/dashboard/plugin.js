// A plugin's own page: everything that is known of it, and everything that an operator may do to it.

/** How often what is too much for the list is asked for: partitions, and who changed what. */
const DETAIL_ASK_MS = 3_000;

/** The sections that the page's own menu names. */
const MENU = {
  trial: "Trial",
  parked: "Parked lanes",
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
  const links = Object.fromEntries(
    Object.entries(MENU).map(([id, text]) => [id, h("a", { href: addressOf(name, id), text })]),
  );
  const menu = h("nav", { class: "menu", "aria-label": "On this page" }, Object.values(links));
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
  const left = h("div", { class: "column" }, elements([budget, where, changes]));
  const right = h("div", { class: "column" }, elements([version, letters, partitions]));
  const body = h(
    "div",
    { class: "body" },
    way,
    elements([trial, parked, charts]),
    h("div", { class: "columns" }, left, right),
  );
  const gone = h("p", { class: "empty", text: "This host has no such plugin, or has it no longer." });
  const el = h("div", { class: "plugin" }, head, gone, body);

  repeat(DETAIL_ASK_MS, signal, async () => {
    const detail = await call("GET", pathOf(name)).catch(() => null);
    if (detail && !signal.aborted) for (const part of [partitions, changes]) part.update(detail);
  });
  return {
    el,
    title,
    update({ plugins, histories }) {
      const plugin = plugins.find((plugin) => plugin.name === name);
      for (const part of [body, state.el, pause.el, menu]) show(part, plugin !== undefined);
      show(gone, plugin === undefined);
      if (!plugin) return;
      const history = histories.get(name);
      state.update(plugin);
      pause.update(plugin);
      show(links.trial, plugin.trial !== null);
      show(links.parked, plugin.parked_lanes > 0);
      const by = heldBy(plugin, history);
      show(held, by !== null);
      if (by) put(held, `held by ${by}`);
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
    if (plugin.paused) return resume(name);
    const flight = counted(plugin.in_flight, "message in flight is", "messages in flight are");
    const says = [
      `${plugin.in_flight > 0 ? `${flight} finished; then nothing` : "Nothing"} is started until you resume.`,
      `It stays in its consumer group and keeps its ${counted(plugin.partitions, "partition")}.`,
      "What comes meanwhile waits in Kafka.",
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
      put(el, news.paused ? "Resume" : "Pause…");
      attribute(el, "class", news.paused ? "primary" : null);
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
    text: "Since this page was opened. p50 and p99 are of the minute before. Arrow keys move through a chart in focus.",
  });
  return {
    el: section("charts", "Charts", choice, charts.el, failures.el, hint),
    update(plugin, history) {
      charts.update(plugin, history, span);
      failures.update(plugin, history);
    },
  };
}
