// Dead letters: where they go, how many there are, and the commands that look through them and send them back.

function lettersSection(name) {
  const [words, trouble] = [h("p"), h("p", { class: "wrong", hidden: true })];
  const commands = h("ul", { class: "commands" });
  const intro = h("p", {}, ...coded("From a shell beside the host's `gristmill.toml`:"));
  return {
    el: section("letters", "Dead letters", words, trouble, intro, commands),
    update(plugin) {
      const letters = plugin.messages["dead-lettered"] ?? 0;
      const topic = plugin.dead_letter_topic;
      putCoded(
        words,
        topic
          ? `${counted(letters, "message")} dead-lettered since the start, to \`${topic}\`.`
          : `No dead-letter topic: what is given up is ${plugin.failure_action === "skip" ? "skipped" : "parked"}.`,
      );
      show(trouble, plugin.dead_letter_failures > 0);
      put(
        trouble,
        `Writing one failed ${counted(plugin.dead_letter_failures, "time")}; it is tried again until it works.`,
      );
      for (const part of [intro, commands]) show(part, topic !== null);
      keep(commands, topic ? commandLines(name, topic, plugin.budget.rate) : [], ({ id }) => id, commandLine);
    },
  };
}

function commandLines(name, topic, rate) {
  const plugin = shellWord(name);
  const replay = `gristmill dead-letters replay --plugin ${plugin}`;
  return [
    {
      id: "list",
      means: "What was given up, where it came from, and why",
      line: `gristmill dead-letters list ${plugin}`,
    },
    {
      id: "show",
      means: "The whole of one; its place is in the list",
      line: `gristmill dead-letters show ${shellWord(topic)}/0/0`,
    },
    {
      id: "through",
      means: "Would a new version handle them? Sends nothing",
      line: `${replay} --all --through new.wasm`,
    },
    {
      id: "replay",
      means: "Back to the topics that they came from",
      line: `${replay} --all${rate ? ` --rate ${rate}` : ""}`,
    },
  ];
}

function commandLine({ means }) {
  const line = h("code", { tabindex: "0" });
  const copy = button("Copy", () => copyText(line, copy), { class: "quiet" });
  return {
    el: h("li", {}, h("p", { class: "means", text: means }), h("div", { class: "line" }, line, copy)),
    update(command) {
      put(line, command.line);
      attribute(copy, "aria-label", `Copy: ${command.means}`);
    },
  };
}

/** Copies a text; where the browser does not allow it, which is on plain http beyond this machine, it is selected. */
async function copyText(from, copy) {
  try {
    await navigator.clipboard.writeText(from.textContent);
    put(copy, "Copied");
  } catch {
    getSelection().selectAllChildren(from);
    put(copy, "Selected");
  }
  setTimeout(() => put(copy, "Copy"), 2_000);
}
