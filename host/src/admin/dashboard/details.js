// What stands at the edge of a plugin's page: how it is set up, its partitions, and who changed what.

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

/** The partitions that this host has. */
function partitionsSection() {
  const words = h("p");
  const body = h("tbody");
  const columns = [["Topic"], ["Partition", "number"], ["Behind", "number"], ["Committed", "number"]].map(
    ([text, align]) => h("th", { scope: "col", class: align, text }),
  );
  const table = h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "The partitions of this host" },
    h("table", {}, h("thead", {}, h("tr", {}, columns)), body),
  );
  return {
    el: section("partitions", "Partitions", words, table),
    update({ assigned, held_partitions: held }) {
      const ours = `${counted(assigned.length, "partition is", "partitions are")} this host's`;
      put(
        words,
        `${ours}${held > 0 ? `; ${count(held)} not read, as too much is behind unfinished messages` : ""}.`,
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
  const list = h("ol", { class: "changes", tabindex: "0", "aria-label": "Changes, the newest first" });
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
          putCoded(what, shortened(change.what));
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
