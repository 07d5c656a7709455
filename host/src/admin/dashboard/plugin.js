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

/** What is handled one after the other, by the config's word. */
const ORDERS = {
  key: "one at a time for each key",
  partition: "one at a time for each partition",
  none: "none",
};

/** What the plugin reads and writes, and what it uses of the machine. */
function settingsPart() {
  const names = [
    "Topics",
    "Group",
    "Output",
    "Order",
    "Delivery",
    "When given up",
    "Oldest unfinished",
    "Instances",
    "CPU",
  ];
  const values = Object.fromEntries(names.map((name) => [name, h("span")]));
  const givenUpWords = { park: "its lane is parked", "dead-letter": "dead-lettered", skip: "skipped" };
  return {
    el: h(
      "dl",
      { class: "facts settings" },
      names.map((name) => fact(name, values[name])),
    ),
    update(plugin) {
      put(values.Topics, plugin.topics.join(", "));
      put(values.Group, plugin.group);
      put(values.Output, plugin.output ?? "named by each output");
      put(values.Order, ORDERS[plugin.order] ?? plugin.order);
      put(values.Delivery, plugin.delivery);
      put(values["When given up"], givenUpWords[plugin.failure_action] ?? plugin.failure_action);
      put(
        values["Oldest unfinished"],
        plugin.oldest_unfinished_seconds > 0 ? duration(plugin.oldest_unfinished_seconds) : "none",
      );
      put(values.Instances, `${count(plugin.instances)}, ${bytes(plugin.guest_memory_bytes)}`);
      put(values.CPU, `${duration(plugin.guest_cpu_seconds)} since the start`);
    },
  };
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

/** The partitions that this host has. */
function partitionsSection() {
  const words = h("p");
  const body = h("tbody");
  const columns = [["Topic"], ["Partition", "number"], ["Behind", "number"], ["Committed", "number"]].map(
    ([text, align]) => h("th", { scope: "col", class: align, text }),
  );
  const table = h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Partitions" },
    h("table", {}, h("thead", {}, h("tr", {}, columns)), body),
  );
  return {
    el: section("partitions", "Partitions", words, table),
    update({ assigned, held_partitions: held }) {
      put(
        words,
        assigned.length === 0
          ? "No partition is this host's."
          : `${counted(assigned.length, "partition is", "partitions are")} this host's${held > 0 ? `; ${count(held)} of them not read, because too much is behind messages that are not finished` : ""}.`,
      );
      show(table, assigned.length > 0);
      keep(
        body,
        assigned,
        ({ topic, partition }) => `${topic}/${partition}`,
        ({ topic, partition }) => {
          const [lag, committed] = [h("td", { class: "number" }), h("td", { class: "number" })];
          const update = (news) => {
            put(lag, count(news.lag));
            put(committed, news.committed_offset === null ? NONE : grouped(news.committed_offset));
          };
          return {
            el: h(
              "tr",
              {},
              h("td", { text: topic }),
              h("td", { class: "number", text: String(partition) }),
              lag,
              committed,
            ),
            update,
          };
        },
      );
    },
  };
}

/** Who changed what, and as whom changes made here are noted. */
function changesSection() {
  const none = h("p", { text: "Nobody has changed anything since the host was started." });
  const list = h("ol", { class: "changes" });
  return {
    el: section("changes", "Changes", none, list, userLine()),
    update({ changes }) {
      show(none, changes.length === 0);
      keep(
        list,
        changes.map((change, index) => ({ ...change, key: `${change.at} ${changes.length - index}` })),
        ({ key }) => key,
        (change) => {
          const what = h("span");
          putCoded(what, change.what);
          return {
            el: h(
              "li",
              {},
              h("time", { datetime: change.at, text: clock(change.at) }),
              what,
              h("span", { class: "dim", text: change.by }),
            ),
            update() {},
          };
        },
      );
    },
  };
}

/** As whom changes from this browser are noted, and the way to another name. */
function userLine() {
  const name = h("b", { text: user.get() });
  const el = h(
    "p",
    { class: "note user" },
    "What you change here is noted as ",
    name,
    ", with your address. ",
    button(
      "Change…",
      async () => {
        await askUser();
        put(name, user.get());
      },
      { class: "quiet" },
    ),
  );
  return el;
}
