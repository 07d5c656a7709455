// Dialogs: nothing that loses, moves or stops something happens without one. Each says what will happen, can be left
// with Escape, and stays open with the host's own words when the host refuses.

/**
 * Asks whether to do something, and does it. `says` are paragraphs or elements; `yes` is the button; `act` does it
 * and may throw a `Problem`; `done` says what was done, from what `act` returned; `mend` may offer another way after
 * a problem: `{ says, yes, act }`. Resolves to whether it was done when the dialog is closed.
 */
function ask({ title, says, yes, isDanger = false, act, done, mend = () => null }) {
  const heading = freshId("dialog");
  const status = h("p", { class: "progress", role: "status" });
  const trouble = h("div", { class: "trouble", role: "alert" });
  const go = h("button", { type: "submit", class: isDanger ? "danger" : "primary" }, yes);
  const cancel = button("Cancel", () => dialog.close());
  // The safe way out has the focus: a hasty Enter loses nothing.
  (isDanger ? cancel : go).setAttribute("autofocus", "");
  const form = h(
    "form",
    {},
    h("h2", { id: heading, text: title }),
    h("div", { class: "says" }, paragraphs(says)),
    trouble,
    status,
    h("div", { class: "actions" }, cancel, go),
  );
  const dialog = h("dialog", { class: "ask", "aria-labelledby": heading }, form);
  let isDone = false;
  let isBusy = false;

  const refused = (problem) => {
    // What was begun goes on when its dialog is closed; how it ended is told all the same.
    if (!dialog.open) return notice(capital(problem.message), true);
    const other = mend(problem);
    trouble.replaceChildren(...told(problem), ...paragraphs(other?.says ?? []));
    if (!other) return;
    act = other.act;
    put(go, other.yes);
    attribute(go, "class", "danger");
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    trouble.replaceChildren();
    const stop = busy([go, cancel], status);
    try {
      notice(done(await act()));
      isDone = true;
      dialog.close();
    } catch (problem) {
      refused(problem);
    } finally {
      isBusy = false;
      stop();
    }
  });
  return openDialog(dialog, () => isDone);
}

/** Opens a dialog; when it is closed it is gone, and what it came to is returned. */
function openDialog(dialog, result) {
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result());
    });
  });
}

function paragraphs(says) {
  return [says]
    .flat()
    .filter(Boolean)
    .map((item) => (typeof item === "string" ? h("p", {}, ...coded(item)) : item));
}

/** What the host said, line by line, hints included. */
function told(problem) {
  const lines = (problem.message || String(problem)).split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) =>
    h("p", { class: line.startsWith("hint:") ? "hint" : null }, ...coded(capital(line))),
  );
}

/** Shows that something is under way, and for how long; returns what ends it. */
function busy([go, cancel], status) {
  const since = Date.now();
  const text = () => {
    const seconds = Math.round((Date.now() - since) / 1000);
    put(status, seconds < 2 ? "Working…" : `Working, for ${duration(seconds)}…`);
  };
  // Not disabled, which would take the focus away.
  attribute(go, "aria-disabled", "true");
  put(cancel, "Close");
  text();
  const timer = setInterval(text, 1000);
  return () => {
    clearInterval(timer);
    put(status, "");
    attribute(go, "aria-disabled", null);
    put(cancel, "Cancel");
  };
}

/** Asks for a text, and lets `keep` have it; resolves to whether one was given. */
function askText({ title, says, label, input, yes, keep }) {
  const heading = freshId("dialog");
  const cancel = button("Cancel", () => dialog.close());
  const go = h("button", { type: "submit", class: "primary" }, yes);
  const form = h(
    "form",
    {},
    h("h2", { id: heading, text: title }),
    h("div", { class: "says" }, paragraphs(says)),
    field(label, input),
    h("div", { class: "actions" }, cancel, go),
  );
  const dialog = h("dialog", { class: "ask", "aria-labelledby": heading }, form);
  let isGiven = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep(input.value.trim());
    isGiven = true;
    dialog.close();
  });
  return openDialog(dialog, () => isGiven);
}

/** Asks for the token of the admin side. */
function askToken(why) {
  return askText({
    title: "This host asks for a token",
    says: [
      why,
      "It is `token` under `[admin]` in the host's `gristmill.toml`.",
      "This tab keeps it until it is closed, and sends it to this host alone.",
    ],
    label: "Token",
    input: h("input", { type: "password", autocomplete: "off", required: true, autofocus: true }),
    yes: "Look in",
    keep: token.set,
  });
}

/** Asks who uses this browser. */
function askUser() {
  return askText({
    title: "Who are you?",
    says: "The host notes it beside everything that you change, so that others know whom to ask.",
    label: "Name",
    input: h("input", { type: "text", maxlength: 64, value: user.get(), autofocus: true }),
    yes: "Keep",
    keep: user.set,
  });
}

/** How long a notice stays. */
const NOTICE_MS = 8_000;

/** Says in a corner, and to screen readers, what was done or did not work; the latter stays until it is put away. */
function notice(text, isBad = false) {
  const corner = document.getElementById("notices");
  const close = isBad ? button("Dismiss", () => el.remove()) : null;
  const el = h("div", { class: isBad ? "notice bad" : "notice" }, h("p", {}, ...coded(text)), close);
  corner.append(el);
  while (corner.childElementCount > 3) corner.firstElementChild.remove();
  if (!isBad) setTimeout(() => el.remove(), NOTICE_MS);
}
