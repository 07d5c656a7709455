// Parked lanes: why each is held, and the two ways on. Releasing tries its first message again; skipping gives it up.

/** How often the list is asked for while there are parked lanes. */
const PARKED_ASK_MS = 3_000;

/** How many lanes are listed by name before something happens to all of them. */
const NAMED_MAX = 5;

function parkedSection(name, signal) {
  const words = h("p", {
    text: "A parked lane is held: its first message cannot be finished and may not be dropped. All others go on.",
  });
  const trouble = h("p", { class: "wrong", role: "status" });
  const body = h("tbody");
  const columns = [
    h("th", { scope: "col", text: "First message" }),
    h("th", { scope: "col", text: "Why" }),
    h("th", { scope: "col", class: "number", text: "Messages" }),
    h("th", { scope: "col" }, h("span", { class: "unseen", text: "Ways on" })),
  ];
  const table = h("table", { class: "parked-lanes" }, h("thead", {}, h("tr", {}, columns)), body);
  const all = (text, way, props) => button(text, () => askParked(name, way, shown, refresh), props);
  const actions = h(
    "div",
    { class: "actions" },
    all("Skip all…", "skip", { class: "quiet danger" }),
    all("Release all…", "release"),
  );
  const el = section("parked", "Parked lanes", words, table, trouble, actions);
  let shown = { lanes: [], total: 0 };
  let lanes = 0;

  function update(plugin) {
    const changed = plugin.parked_lanes !== lanes;
    lanes = plugin.parked_lanes;
    show(el, lanes > 0);
    if (changed) refresh();
  }

  async function refresh() {
    if (lanes === 0) {
      shown = { lanes: [], total: 0 };
      return keep(body, [], place, laneRow);
    }
    try {
      shown = await call("GET", pathOf(name, "parked"));
      keep(body, shown.lanes, place, laneRow);
      put(
        trouble,
        shown.total > shown.lanes.length
          ? `These are the first ${count(shown.lanes.length)} of ${count(shown.total)}.`
          : "",
      );
    } catch (problem) {
      put(trouble, `The list cannot be read: ${problem.message}`);
    }
  }

  function laneRow(lane) {
    const [reason, messages] = [
      h("td", { class: "why" }),
      h("td", { class: "number", "data-column": "Messages" }),
    ];
    const way = (text, word, props) =>
      button(text, () => askParked(name, word, { lanes: [lane], total: 1 }, refresh), {
        ...props,
        "aria-label": `${text.replace("…", "")} ${place(lane)}`,
      });
    return {
      el: h(
        "tr",
        {},
        h("th", { scope: "row" }, h("code", { text: place(lane) })),
        reason,
        messages,
        h(
          "td",
          { class: "buttons" },
          way("Release…", "release", { class: "quiet" }),
          way("Skip…", "skip", { class: "quiet danger" }),
        ),
      ),
      update(news) {
        putCoded(reason, news.reason);
        put(messages, count(news.messages));
      },
    };
  }

  repeat(PARKED_ASK_MS, signal, () => lanes > 0 && refresh());
  return { el, update };
}

/** Asks before parked lanes are released or skipped, and does it. */
async function askParked(name, way, { lanes, total }, refresh) {
  const named = lanes.slice(0, NAMED_MAX).map((lane) => h("li", {}, h("code", { text: place(lane) })));
  if (total > named.length) named.push(h("li", { text: `and ${count(total - named.length)} more` }));
  // Those that were seen, and no others that were parked meanwhile; all, when there are more than can be listed.
  const isAll = total > lanes.length;
  const json = {
    all: isAll,
    lanes: isAll ? [] : lanes.map(({ topic, partition, offset }) => ({ topic, partition, offset })),
  };
  const what = total === 1 ? "a parked lane" : counted(total, "parked lane");
  const done = (answer) =>
    `\`${name}\`: ${way === "skip" ? "skipped" : "released"} ${counted(answer.lanes, "lane")}`;
  await ask({
    title: `${capital(way)} ${what} of ${name}?`,
    says: [h("ul", { class: "places" }, named), ...(total === 1 ? ONE : SOME)[way](name)],
    yes: way === "skip" ? `Skip ${counted(total, "message")}` : "Release",
    isDanger: way === "skip",
    act: () => call("POST", pathOf(name, "parked", way), { json }),
    done,
  });
  await refresh();
}

/** What will happen to one lane. */
const ONE = {
  release: () => [
    "This message is tried again as if it had just come, with all attempts anew.",
    "What stands behind it waits until then.",
  ],
  skip: (name) => [
    `This message is given up: ${name} never handles it, and it goes to no dead-letter topic.`,
    "For this plugin it is lost; Kafka keeps it as long as the topic does. What stands behind it goes on.",
  ],
};

/** What will happen to several. */
const SOME = {
  release: () => [
    "These messages are tried again as if they had just come, with all attempts anew.",
    "What stands behind them waits until then.",
  ],
  skip: (name) => [
    `These messages are given up: ${name} never handles them, and they go to no dead-letter topic.`,
    "For this plugin they are lost; Kafka keeps them as long as the topic does. What stands behind them goes on.",
  ],
};
