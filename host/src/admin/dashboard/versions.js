// Versions: which component runs and why, how the last swap ended, and the ways back and on.

/** A digest: its first digits, the whole of it for whoever points at it or listens. */
function digestText() {
  const el = h("code", { class: "digest" });
  return {
    el,
    update(digest) {
      put(el, short(digest));
      attribute(el, "title", digest || null);
    },
  };
}

/** Which component runs, the last swap, and the way to the next. */
function versionSection(name) {
  const running = digestText();
  const [why, since, whole] = [h("span"), h("span", { class: "dim" }), h("code", { class: "whole" })];
  const previous = digestText();
  const back = button("Roll back…", () => rollBack(name, now()), { class: "quiet" });
  const last = lastSwap();
  const swap = swapForm(name, () => now());
  const trialNote = h(
    "p",
    { class: "note" },
    "A new version is being tried; promote it or roll it back before the next swap. ",
    h("a", { href: addressOf(name, "trial"), text: "See the trial" }),
  );
  let plugin = null;
  const now = () => plugin;
  const before = fact("Before it", previous.el, " ", back);
  const pairs = h(
    "dl",
    { class: "facts" },
    fact("Runs", running.el, " ", since),
    fact("Why", why),
    fact("SHA-256", whole),
    before,
  );
  return {
    el: section("version", "Version", pairs, last.el, swap.el, trialNote),
    update(news) {
      plugin = news;
      running.update(news.digest);
      put(whole, news.digest.replace("sha256:", "") || NONE);
      put(
        since,
        news.component.since ? `since ${clock(news.component.since)}, ${ago(news.component.since)}` : "",
      );
      putCoded(why, shortened(news.component.why) || NONE);
      previous.update(news.component.previous);
      show(before, news.component.previous !== null);
      show(back, news.trial === null);
      last.update(news.last_swap);
      show(swap.el, news.trial === null);
      show(trialNote, news.trial !== null);
    },
  };
}

function fact(name, ...value) {
  return h("div", {}, h("dt", { text: name }), h("dd", {}, value));
}

/** How the last swap ended, and why if it ended badly. */
function lastSwap() {
  const words = h("p");
  const reason = h("pre");
  const el = h("div", { class: "last-swap", hidden: true }, words, reason);
  const endings = { done: "was put in", refused: "was refused", "rolled-back": "was rolled back" };
  return {
    el,
    update(swap) {
      show(el, swap !== null);
      if (!swap) return;
      attribute(el, "data-result", swap.result);
      const ended = endings[swap.result] ?? swap.result;
      const when = `${ago(swap.at)}, at ${clock(swap.at)}`;
      putCoded(words, `Last swap: \`${short(swap.digest)}\` ${ended} ${when}, by ${swap.by}.`);
      show(reason, Boolean(swap.reason));
      put(reason, swap.reason);
    },
  };
}

/** Asks before a plugin goes back: to its old version while one is tried, else to the version before. */
function rollBack(name, { trial, component, digest }) {
  const what = {
    canary: () =>
      `The canary of \`${short(trial.new.digest)}\` ends; its lanes go back to \`${short(trial.old.digest)}\`.`,
    shadow: () =>
      `The shadow of \`${short(trial.new.digest)}\` ends; \`${short(trial.old.digest)}\` goes on.`,
    none: () =>
      `New messages go to \`${short(component.previous)}\` again, lane by lane, instead of \`${short(digest)}\`.`,
  }[trial?.mode ?? "none"]();
  const says = [what, "What is in flight is finished first; no message is lost or handled twice for it."];
  return ask({
    title: `Roll ${name} back?`,
    says,
    yes: "Roll back",
    isDanger: true,
    act: () => call("POST", pathOf(name, "rollback"), { isSwap: true }),
    done: (answer) => `\`${name}\`: rolled back to \`${short(answer.digest)}\``,
  });
}

function promote(name, { trial }) {
  const says = [
    `\`${short(trial.new.digest)}\` takes over all lanes, each when its message in flight is finished.`,
    `\`${short(trial.old.digest)}\` is kept, so that you can roll back.`,
  ];
  return ask({
    title: `Promote the new version of ${name}?`,
    says,
    yes: "Promote",
    act: () => call("POST", pathOf(name, "promote"), { isSwap: true }),
    done: (answer) => `\`${name}\`: promoted \`${short(answer.digest)}\``,
  });
}
