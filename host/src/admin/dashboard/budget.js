// The budget: what is configured and what is in effect side by side, each key open to change. What is being typed is
// left alone by updates; what cannot be right is said beside the field before the host is asked, and what the host
// says stands there too.

/** The word for no rate. */
const UNLIMITED = "unlimited";

/** The keys of a budget: what they mean, and how their values are read and sent. */
const KEYS = [
  {
    key: "concurrency",
    means: "messages being handled at the same time",
    read: readCount,
    send: Number,
    kind: "count",
  },
  {
    key: "rate",
    means: `starts of handle-message; \`${UNLIMITED}\` lifts it`,
    read: (text) => (text === UNLIMITED ? Infinity : readRate(text)),
    send: (text) => (text === UNLIMITED ? null : text),
    kind: "rate",
  },
  { key: "burst", means: "starts that may come back to back", read: readCount, send: Number, kind: "count" },
  { key: "buffer", means: "messages held in memory", read: readCount, send: Number, kind: "count" },
  { key: "buffer_bytes", means: "bytes held in memory", read: readSize, send: String, kind: "size" },
  { key: "timeout", means: "wall clock for one message", read: readDuration, send: String, kind: "duration" },
  { key: "cpu", means: "guest CPU for one message", read: readDuration, send: String, kind: "duration" },
  {
    key: "memory",
    means: "linear memory of an instance; for new instances",
    read: readSize,
    send: String,
    kind: "size",
  },
];

/** A change to more than so many times as much is asked about first. */
const LEAP = 10;

function written(budget, key) {
  return budget[key] === null ? UNLIMITED : String(budget[key]);
}

/** What is wrong with a value, as far as the page can tell; nothing when nothing is. */
function wrongWith({ key, kind, read }, text) {
  const value = read(text);
  const words = PAGE.words[kind] ?? "a whole number";
  if (value === null) return `This is not ${words}${kind === "rate" ? `, nor \`${UNLIMITED}\`` : ""}.`;
  const range = PAGE.budget[key];
  return range && (value < range.min || value > range.max) ? `It has to be ${range.range}.` : "";
}

/** One key's row. */
function budgetRow(item, onChange) {
  const { key } = item;
  const [hint, wrong] = [freshId("hint"), freshId("wrong")];
  const input = h("input", {
    id: freshId("budget"),
    name: key,
    type: "text",
    inputmode: item.kind === "count" ? "numeric" : "text",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "off",
    "aria-describedby": `${hint} ${wrong}`,
  });
  const configured = h("span", { class: "configured" });
  const restore = button("use", () => type(written(now.configured, key)), {
    class: "quiet",
    "aria-label": `Use the configured ${key}`,
    hidden: true,
  });
  const effect = h("p", { class: "effect", hidden: true });
  const said = h("p", { id: wrong, class: "wrong" });
  const what = h(
    "div",
    { class: "what" },
    h("label", { for: input.id, text: key }),
    h("p", { id: hint, class: "means" }, ...coded(item.means)),
  );
  const el = h(
    "div",
    { class: "row" },
    what,
    h("div", { class: "given" }, configured, restore),
    h("div", { class: "value" }, input, effect, said),
  );
  let now = null;
  // Typed into, and neither applied nor discarded since.
  let isTouched = false;

  const text = () => input.value.trim();
  const before = () => written(now.budget, key);
  const isDirty = () => isTouched && text() !== before();
  const type = (value) => {
    input.value = value;
    input.focus();
    touched();
  };
  const touched = () => {
    isTouched = true;
    say(isDirty() ? wrongWith(item, text()) : "");
    mark();
    onChange();
  };
  const say = (words) => {
    putCoded(said, words);
    attribute(input, "aria-invalid", words ? "true" : null);
  };
  const mark = () => {
    attribute(el, "data-changed", isDirty());
    show(effect, isDirty());
    put(effect, `in effect: ${before()}`);
  };
  input.addEventListener("input", touched);
  return {
    el,
    item,
    say,
    text,
    before,
    isDirty,
    focus: () => input.focus(),
    wrong: () => (isDirty() ? wrongWith(item, text()) : ""),
    /** Follows the host again; at once when what was typed is given up, with its next news when it was applied. */
    settle(isGivenUp) {
      isTouched = false;
      say("");
      if (isGivenUp) input.value = before();
      mark();
    },
    update(plugin) {
      now = plugin;
      if (!isTouched && input.value !== before()) input.value = before();
      mark();
      const differs = written(plugin.configured, key) !== before();
      put(configured, written(plugin.configured, key));
      attribute(el, "data-differs", differs);
      show(restore, differs);
    },
  };
}

/** The form of a plugin's budget. */
function budgetSection(name) {
  const rows = KEYS.map((item) => budgetRow(item, changed));
  const trouble = h("div", { class: "trouble", role: "alert" });
  const summary = h("p", { class: "summary", role: "status" });
  const apply = h("button", { type: "submit", class: "primary" }, "Apply");
  const discard = button("Discard", () => {
    for (const row of rows) row.settle(true);
    changed();
  });
  const scope = h("p", { class: "note" });
  const names = h(
    "div",
    { class: "row names", "aria-hidden": "true" },
    ["Key", "Configured", "In effect"].map((text) => h("span", { text })),
  );
  const form = h(
    "form",
    { class: "budget", novalidate: true, autocomplete: "off", onsubmit: submit },
    names,
    elements(rows),
    trouble,
    h("div", { class: "actions" }, summary, discard, apply),
  );

  const dirty = () => rows.filter((row) => row.isDirty());

  function changed() {
    const changes = dirty();
    put(summary, changes.map((row) => `${row.item.key} ${row.before()} → ${row.text()}`).join(", "));
    for (const control of [apply, discard])
      attribute(control, "aria-disabled", changes.length === 0 ? "true" : null);
  }

  async function submit(event) {
    event.preventDefault();
    const changes = dirty();
    trouble.replaceChildren();
    for (const row of rows) row.say(row.wrong());
    const wrong = changes.find((row) => row.wrong());
    if (wrong) return wrong.focus();
    if (changes.length === 0) return;
    const words = summary.textContent;
    const json = Object.fromEntries(changes.map(({ item, text }) => [item.key, item.send(text())]));
    const act = async () => {
      await call("PATCH", pathOf(name, "budget"), { json });
      for (const row of changes) row.settle(false);
      changed();
    };
    const done = () => `\`${name}\`: ${words}`;
    const leap = changes.map(leapWords).filter(Boolean);
    if (leap.length > 0) {
      await ask({
        title: `Change the budget of ${name}?`,
        says: [...leap, `It takes effect at once for everything that has not started: ${words}.`],
        yes: "Apply",
        isDanger: true,
        act,
        done,
      });
      return;
    }
    try {
      await act();
      notice(done());
    } catch (problem) {
      tell(problem);
    }
  }

  /** Puts what the host says of a key beside its field, and everything else below them all. */
  function tell(problem) {
    const beside = new Map();
    const others = [];
    for (const { key, what, found, hint } of problem.more.problems ?? []) {
      const row = rows.find(({ item }) => item.key === key.replace(/^.*\./, ""));
      const words = [found ? `${what}, found: ${found}` : what, hint].filter(Boolean).map(capital);
      if (row) beside.set(row, [...(beside.get(row) ?? []), ...words]);
      else others.push(`\`${key}\`: ${what}`);
    }
    for (const [row, words] of beside) row.say(words.join(". "));
    if (beside.size === 0) return trouble.replaceChildren(...told(problem));
    trouble.replaceChildren(...others.map((text) => h("p", {}, ...coded(text))));
    rows.find((row) => beside.has(row)).focus();
  }

  changed();
  return {
    el: section("budget", "Budget", scope, form),
    update(plugin) {
      put(scope, plugin.budget.scope === "group" ? "The rate is that of the whole consumer group." : "");
      show(scope, plugin.budget.scope === "group");
      for (const row of rows) row.update(plugin);
      changed();
    },
  };
}

/** What a large step up means, for whatever stands behind the plugin. */
function leapWords({ item, before, text }) {
  const [old, wanted] = [item.read(before()), item.read(text())];
  if (item.key === "rate" && wanted === Infinity) {
    return "Without a rate, what stands behind the plugin gets as much as the concurrency lets through.";
  }
  const rises = ["rate", "concurrency"].includes(item.key) && wanted >= old * LEAP;
  return rises
    ? `\`${item.key}\` becomes ${count(wanted / old)} times as large. What stands behind the plugin gets as much more.`
    : "";
}
