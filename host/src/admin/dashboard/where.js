// Where is this message, and what does it wait for? Asked by its place in Kafka or by its key.

/** How often an answer that is not final is asked for again. */
const WHERE_ASK_MS = 2_000;

/** States in which nothing more is going to happen. */
const FINAL = new Set(["handled", "elsewhere"]);

/** The states of a message, in words. */
const WHERE = {
  elsewhere: "not on this host",
  kafka: "still in Kafka",
  buffer: "in the buffer",
  lane: "behind others in its lane",
  rate: "waiting for the rate",
  concurrency: "waiting for a free worker",
  paused: "waiting, the plugin is paused",
  "in-flight": "being handled",
  confirming: "its outputs are being confirmed",
  batch: "waiting in a batch",
  retry: "waiting for its next attempt",
  parked: "parked",
  handled: "handled",
};

function whereSection(name, signal) {
  const topic = h("select", { name: "topic" });
  const partition = h("input", {
    name: "partition",
    type: "text",
    inputmode: "numeric",
    size: 6,
    autocomplete: "off",
  });
  const offset = h("input", {
    name: "offset",
    type: "text",
    inputmode: "numeric",
    size: 14,
    autocomplete: "off",
  });
  const key = h("input", {
    name: "key",
    type: "text",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
  });
  const way = freshId("by");
  const radio = (value, text) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name: way, value, checked: value === "place", onchange: choose }),
      " ",
      text,
    );
  const byPlace = h(
    "div",
    { class: "fields" },
    field("Topic", topic),
    field("Partition", partition),
    field("Offset", offset),
  );
  const byKey = h("div", { class: "fields", hidden: true }, field("Key", key));
  const wrong = h("p", { class: "wrong", role: "alert" });
  const answer = answerPart();
  const form = h(
    "form",
    { class: "where", novalidate: true, onsubmit: submit },
    h(
      "fieldset",
      { class: "choice" },
      h("legend", { class: "unseen", text: "Asked by" }),
      radio("place", "By its place"),
      radio("key", "By its key"),
    ),
    byPlace,
    byKey,
    wrong,
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Where is it?")),
    answer.el,
  );
  let question = null;

  const isByKey = () => form.querySelector("input[type=radio]:checked").value === "key";

  function choose() {
    show(byPlace, !isByKey());
    show(byKey, isByKey());
    put(wrong, "");
  }

  function submit(event) {
    event.preventDefault();
    question = isByKey()
      ? new URLSearchParams({ key: key.value })
      : new URLSearchParams({
          topic: topic.value,
          partition: partition.value.trim(),
          offset: offset.value.trim(),
        });
    const numbers = isByKey() || (readCount(partition.value) !== null && readCount(offset.value) !== null);
    put(wrong, numbers ? "" : "The partition and the offset are whole numbers.");
    if (!numbers) return (readCount(partition.value) === null ? partition : offset).focus();
    answer.clear();
    refresh();
  }

  async function refresh() {
    const asked = question;
    try {
      const waiting = await call("GET", `${pathOf(name, "message")}?${asked}`);
      if (asked !== question) return;
      answer.update(waiting);
      if (FINAL.has(waiting.state)) question = null;
    } catch (problem) {
      if (asked !== question) return;
      question = null;
      putCoded(wrong, capital(problem.message));
    }
  }

  repeat(WHERE_ASK_MS, signal, () => question && refresh());
  return {
    el: section("where", "Where is this message?", form),
    update(plugin) {
      keep(
        topic,
        plugin.topics,
        (text) => text,
        (text) => ({ el: h("option", { value: text, text }), update() {} }),
      );
    },
  };
}

/** What the host answers. */
function answerPart() {
  const [state, why, more] = [h("b"), h("p"), h("p", { class: "dim" })];
  const el = h(
    "div",
    { class: "answer", role: "status", hidden: true },
    h("p", { class: "lead" }, state),
    why,
    more,
  );
  return {
    el,
    clear: () => show(el, false),
    update(waiting) {
      show(el, true);
      attribute(el, "data-state", waiting.state);
      put(state, capital(WHERE[waiting.state] ?? waiting.state));
      putCoded(why, waiting.why ? capital(waiting.why) : "");
      const behind = waiting.behind === null ? "" : `Before it: ${counted(waiting.behind, "message")}.`;
      const until = waiting.until === null ? "" : `It goes on at ${clock(waiting.until)}.`;
      const where = waiting.message === null ? "" : `Message ${place(waiting.message)}.`;
      put(more, [where, behind, until].filter(Boolean).join(" "));
    },
  };
}
