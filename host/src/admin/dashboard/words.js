// What a plugin's figures mean at a glance: the mark of its state, and what of it needs somebody's attention.

/** Each state's shape, because colour alone says nothing to some, and nothing at night. */
const MARKS = {
  running: () => [s("circle", { cx: 8, cy: 8, r: 5 })],
  paused: () => [
    s("rect", { x: 3.5, y: 3, width: 3, height: 10, rx: 0.5 }),
    s("rect", { x: 9.5, y: 3, width: 3, height: 10, rx: 0.5 }),
  ],
  troubled: () => [
    s("path", { d: "M8 1.6 15 14H1Z" }),
    s("path", { class: "inner", d: "M8 6v4M8 11.4v1.2" }),
  ],
  starting: () => [s("circle", { class: "ring", cx: 8, cy: 8, r: 5 })],
  joining: () => [s("circle", { class: "ring", cx: 8, cy: 8, r: 5 }), s("circle", { cx: 8, cy: 8, r: 1.8 })],
  draining: () => [s("path", { d: "M2.5 3.5h11L8 13.5Z" })],
};

/** The mark and word of a state. */
function stateMark() {
  const shape = s("svg", { class: "mark", viewBox: "0 0 16 16", "aria-hidden": "true" });
  const word = h("span");
  const el = h("span", { class: "state" }, shape, word);
  return {
    el,
    update({ state }) {
      if (el.dataset.state === state) return;
      el.dataset.state = state;
      shape.replaceChildren(...(MARKS[state] ?? MARKS.starting)());
      put(word, state);
    },
  };
}

/** How bad something is, the worst first. */
const LEVELS_OF_CARE = ["bad", "warn", "note"];

/** A swap that ended badly is worth a word for this long. */
const SWAP_NEWS_MS = 6 * 3600 * 1000;

/**
 * What of a plugin needs attention: what it is about, its `level`, `text`, and the `section` of its page that has
 * more.
 */
function cares(plugin, history) {
  const found = [];
  const care = (about, level, text, section = "") =>
    found.push({ plugin: plugin.name, about, level, text, section });
  if (plugin.state === "troubled") care("state", "bad", plugin.reason ?? "something outside is in the way");
  if (["starting", "joining"].includes(plugin.state)) {
    care(
      "state",
      "warn",
      `${plugin.state}: ${plugin.reason ?? "waiting for the consumer group to assign partitions"}`,
    );
  }
  if (plugin.held_partitions > 0) {
    const are = counted(plugin.held_partitions, "partition is", "partitions are");
    care("held", "bad", `${are} not read: too much is behind messages that are not finished`, "parked");
  }
  if (plugin.parked_lanes > 0)
    care("parked", "warn", `${counted(plugin.parked_lanes, "lane is", "lanes are")} parked`, "parked");
  if (plugin.dead_letter_failures > 0) {
    care(
      "letters-failed",
      "warn",
      `dead letters could not be written, ${counted(plugin.dead_letter_failures, "time")} since the start`,
      "letters",
    );
  }
  const letters = sum(history.fine["dead-lettered"]);
  if (letters > 0)
    care("letters", "warn", `${counted(letters, "message")} dead-lettered in the last 5 min`, "letters");
  const swap = plugin.last_swap;
  if (swap?.reason && swap.result !== "done" && Date.now() - Date.parse(swap.at) < SWAP_NEWS_MS) {
    const how = swap.result === "refused" ? "refused" : "rolled back";
    care(
      "swap",
      "warn",
      `a new version was ${how} ${ago(swap.at)}: ${swap.reason.split("\n")[0]}`,
      "version",
    );
  }
  if (plugin.paused) care("paused", "note", "paused: nothing is started");
  if (plugin.trial) care("trial", "note", trialWords(plugin.trial), "trial");
  return found.sort((one, other) => LEVELS_OF_CARE.indexOf(one.level) - LEVELS_OF_CARE.indexOf(other.level));
}

/** What is being tried, in words. */
function trialWords({ mode, percent: share, since }) {
  const of =
    mode === "canary"
      ? `canary on ${percentOf(share)} of the lanes`
      : `shadow on ${percentOf(share)} of the messages`;
  return `${of}, begun ${ago(since)}`;
}

function sum(ring, seconds = 1) {
  return Math.round(ring.known().reduce((total, value) => total + value, 0) * seconds);
}

/** The advice of the host, sentence by sentence. */
function adviceList() {
  const el = h("ul", { class: "advice", hidden: true });
  return {
    el,
    update({ advice }) {
      show(el, advice.length > 0);
      keep(
        el,
        advice.map((item, index) => ({ ...item, index })),
        ({ index }) => index,
        () => {
          const about = h("b");
          const text = h("span");
          return {
            el: h("li", {}, about, " ", text),
            update(item) {
              put(about, item.about);
              put(text, capital(item.text));
            },
          };
        },
      );
    },
  };
}
