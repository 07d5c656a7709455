// Parked lanes: why each is held, and the two ways on. Releasing tries its first message again; skipping gives it up.

/** How often the list is asked for while there are parked lanes. */
const PARKED_ASK_MS = 3_000;

/** How many lanes are listed by name before something happens to all of them. */
const NAMED_MAX = 5;

function parkedSection(name, signal) {
  const words = h("p", {
    text: "A parked lane is held because its first message cannot be finished and may not be dropped. All other lanes go on.",
  });
  const trouble = h("p", { class: "wrong", role: "status" });
  const body = h("tbody");
  const columns = ["First message", "Why", "Messages", ""].map((text) => h("th", { scope: "col", text }));
  const table = h("table", { class: "parked-lanes" }, h("thead", {}, h("tr", {}, columns)), body);
  const all = (text, way, props) =>
    button(text, () => askParked(name, way, { all: true, lanes: [] }, shown, refresh), props);
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
      return keep(body, [], placeKey, laneRow);
    }
    try {
      shown = await call("GET", pathOf(name, "parked"));
      keep(body, shown.lanes, placeKey, laneRow);
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
    const { topic, partition, offset } = lane;
    const only = { all: false, lanes: [{ topic, partition, offset }] };
    const [reason, messages] = [
      h("td", { class: "why" }),
      h("td", { class: "number", "data-column": "Messages" }),
    ];
    const way = (text, word, props) =>
      button(text, () => askParked(name, word, only, { lanes: [lane], total: 1 }, refresh), {
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

function placeKey(lane) {
  return place(lane);
}

/** Asks before parked lanes are released or skipped, and does it. */
async function askParked(name, way, json, { lanes, total }, refresh) {
  const named = lanes.slice(0, NAMED_MAX).map((lane) => h("li", {}, h("code", { text: place(lane) })));
  if (total > named.length) named.push(h("li", { text: `and ${count(total - named.length)} more` }));
  const one = total === 1;
  const messages = counted(total, "message");
  const behind = lanes.reduce((sum, lane) => sum + lane.messages - 1, 0);
  const says = {
    release: `${one ? "This message is" : "These messages are"} tried again as if ${one ? "it" : "they"} had just come, with all attempts anew. What stands behind ${one ? "it" : "them"} waits until then.`,
    skip: `${one ? "This message is" : "These messages are"} given up: ${name} never handles ${one ? "it" : "them"}, and ${one ? "it goes" : "they go"} to no dead-letter topic. For this plugin ${one ? "it is" : "they are"} lost; Kafka keeps ${one ? "it" : "them"} as long as the topic does. The lanes go on behind ${one ? "it" : "them"}${behind > 0 ? `, with ${counted(behind, "message")}` : ""}.`,
  }[way];
  await ask({
    title: `${capital(way)} ${one ? "a parked lane" : counted(total, "parked lane")} of ${name}?`,
    says: [h("ul", { class: "places" }, named), says],
    yes: way === "skip" ? `Skip ${messages}` : "Release",
    isDanger: way === "skip",
    act: () => call("POST", pathOf(name, "parked", way), { json }),
    done: (answer) =>
      `\`${name}\`: ${way === "skip" ? "skipped" : "released"} ${counted(answer.lanes, "lane")}`,
  });
  await refresh();
}
