// A trial: the two versions side by side, how a shadow's outcomes differ, and the way out in both directions.

/** What is compared of two versions: its name, how it reads, and what the difference comes to in words. */
const COMPARED = [
  { name: "Messages", of: (version) => count(version.messages) },
  {
    name: "Failures",
    of: (version) => `${count(version.failures)} (${percent(failedShare(version))})`,
    versus: (old, fresh) => pointsWords(failedShare(fresh) - failedShare(old)),
  },
  { name: "Traps", of: (version) => count(version.traps) },
  {
    name: "p50",
    of: (version) => duration(version.p50_seconds),
    versus: (old, fresh) => timesWords(fresh.p50_seconds / old.p50_seconds),
  },
  {
    name: "p99",
    of: (version) => duration(version.p99_seconds),
    versus: (old, fresh) => timesWords(fresh.p99_seconds / old.p99_seconds),
  },
];

function failedShare({ messages, failures }) {
  return messages > 0 ? failures / messages : NaN;
}

function pointsWords(points) {
  if (Number.isNaN(points)) return "";
  const size = Math.abs(points * 100);
  return size < 0.005
    ? "alike"
    : `${points > 0 ? "▲" : "▼"} ${size.toFixed(2)} points ${points > 0 ? "more" : "fewer"}`;
}

function timesWords(times) {
  if (!Number.isFinite(times) || times === 0) return "";
  if (times > 0.97 && times < 1.03) return "alike";
  const factor = times < 0.1 ? percent(times) : `${threeDigits(times)} times`;
  return `${times > 1 ? "▲" : "▼"} ${factor} as long`;
}

/** What else is to be known of a trial. */
const ENDS = {
  canary: "It is rolled back by itself when it traps repeatedly, fails more often or takes far longer.",
  shadow: "Nothing that it does counts.",
};

/** The two versions of a trial side by side, with the way out in both directions. */
function trialSection(name) {
  const [words, by] = [h("p", { class: "lead" }), h("p", { class: "note" })];
  const [oldDigest, newDigest] = [digestText(), digestText()];
  const body = h("tbody");
  const column = (text, digest) => h("th", { scope: "col" }, h("span", { text }), " ", digest.el);
  const table = h(
    "table",
    { class: "versus" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, h("span", { class: "unseen", text: "What" })),
        column("Old", oldDigest),
        column("New", newDigest),
        h("th", { scope: "col" }, h("span", { class: "unseen", text: "The new one against the old" })),
      ),
    ),
    body,
  );
  const differences = differencesPart();
  let plugin = null;
  const actions = h(
    "div",
    { class: "actions" },
    button("Roll back…", () => rollBack(name, plugin), { class: "danger" }),
    button("Promote…", () => promote(name, plugin), { class: "primary" }),
  );
  const el = section("trial", "Trial", words, table, differences.el, by, actions);
  return {
    el,
    update(news) {
      plugin = news;
      const { trial } = news;
      show(el, trial !== null);
      if (!trial) return;
      put(words, capital(`${trialWords(trial)}${shareWords(trial)}`));
      putCoded(by, `Begun by ${trial.by} at ${clock(trial.since)}. ${ENDS[trial.mode] ?? ""}`);
      oldDigest.update(trial.old.digest);
      newDigest.update(trial.new.digest);
      keep(
        body,
        COMPARED.map((row) => ({ row, trial })),
        ({ row }) => row.name,
        comparedRow,
      );
      differences.update(trial.differences);
    },
  };
}

/** What the share of the lanes comes to in messages. */
function shareWords({ mode, old, new: fresh }) {
  const all = old.messages + fresh.messages;
  return mode === "canary" && all > 0 ? `; ${percent(fresh.messages / all)} of the messages so far` : "";
}

function comparedRow({ row }) {
  const [old, fresh, versus] = [
    h("td", { class: "number" }),
    h("td", { class: "number" }),
    h("td", { class: "dim" }),
  ];
  return {
    el: h("tr", {}, h("th", { scope: "row", text: row.name }), old, fresh, versus),
    update({ trial }) {
      put(old, row.of(trial.old));
      put(fresh, row.of(trial.new));
      put(versus, row.versus?.(trial.old, trial.new) ?? "");
    },
  };
}

/** How a shadow's outcomes differ, with some of the messages. */
function differencesPart() {
  const words = h("p");
  const body = h("tbody");
  const columns = ["Message", "Old", "New"].map((text) => h("th", { scope: "col", text }));
  const table = h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Messages that differ" },
    h(
      "table",
      { class: "samples" },
      h("caption", { text: "Some that differ, the newest first" }),
      h("thead", {}, h("tr", {}, columns)),
      body,
    ),
  );
  const el = h("div", { hidden: true }, words, table);
  return {
    el,
    update(differences) {
      show(el, differences !== null);
      if (!differences) return;
      const { compared, missed, outcomes, outputs, samples } = differences;
      const differ = `${count(outputs)} have other outputs; of ${count(outcomes)} one failed and the other did not`;
      const busy = `${counted(missed, "message was", "messages were")} not copied because the shadow was busy.`;
      put(
        words,
        `Of ${counted(compared, "message")} that both handled, ${differ}.${missed > 0 ? ` ${busy}` : ""}`,
      );
      show(table, samples.length > 0);
      keep(body, [...samples].reverse(), place, sampleRow);
    },
  };
}

function sampleRow(sample) {
  const [old, fresh] = [h("td", { "data-column": "Old" }), h("td", { "data-column": "New" })];
  return {
    el: h("tr", {}, h("th", { scope: "row" }, h("code", { text: place(sample) })), old, fresh),
    update(news) {
      putCoded(old, news.old);
      putCoded(fresh, news.new);
    },
  };
}
