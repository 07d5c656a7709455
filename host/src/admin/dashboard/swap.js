// Putting in a new version: the file, how it comes in, and what will happen.

/** The ways in which a new version can come in. */
const WAYS = {
  plain: { label: "At once", hint: "It takes over lane by lane when it has started." },
  canary: { label: "Canary", hint: "It handles a share of the lanes until it is promoted or rolled back." },
  shadow: { label: "Shadow", hint: "It sees copies; nothing that it does counts." },
};

/** Chooses a file and how it comes in. */
function swapForm(name, now) {
  const file = h("input", { type: "file", accept: ".wasm,application/wasm", required: true });
  const share = h("input", {
    type: "number",
    min: 0.01,
    max: 100,
    step: "any",
    value: "5",
    inputmode: "decimal",
    "aria-label": "Share of the lanes in percent",
  });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const group = freshId("way");
  const radios = Object.entries(WAYS).map(([way, { label, hint }]) => {
    const input = h("input", { type: "radio", name: group, value: way, checked: way === "plain" });
    const extra = way === "canary" ? h("span", { class: "share" }, share, " %") : null;
    return h(
      "div",
      { class: "way" },
      h("label", {}, input, " ", h("b", { text: label }), h("span", { class: "hint", text: hint })),
      extra,
    );
  });
  const form = h(
    "form",
    { class: "swap", novalidate: true },
    h("h3", { text: "Put in a new version" }),
    field("Component (.wasm)", file),
    h("fieldset", {}, h("legend", { text: "How" }), radios),
    wrong,
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Swap…")),
  );
  const chosen = () => form.querySelector("input[type=radio]:checked").value;
  share.addEventListener("focus", () => (form.querySelector("input[value=canary]").checked = true));

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const way = chosen();
    const [component] = file.files;
    const percentage = Number(share.value);
    const isShare = percentage > 0 && percentage <= 100;
    put(
      wrong,
      !component
        ? "Choose the component's file first."
        : way === "canary" && !isShare
          ? "The share has to be above 0 and at most 100 percent."
          : "",
    );
    if (wrong.textContent) return (component ? share : file).focus();
    const isDone = await askSwap(name, now(), component, { way, percentage });
    if (isDone) form.reset();
  });
  return { el: form };
}

/** What will happen, way by way. */
const WILL = {
  plain: () => [
    "It is loaded, checked and started while the old version works.",
    "Then new messages go to it, each lane when its message in flight is finished.",
    "The old version is kept, so that you can roll back.",
  ],
  canary: (percentage) => [
    `It is loaded, checked and started. Then ${percentOf(percentage)} of the lanes go to it, always the same ones.`,
    "A message that it fails on is handled again by the old version.",
    "It stays until you promote it or roll it back, or is rolled back by itself when it does worse.",
  ],
  shadow: () => [
    "It is loaded, checked and started. Then it gets copies of messages; its outputs and calls are suppressed.",
    "What it makes of them is compared with what the old version did.",
  ],
};

/** Says what a swap will do, and does it. */
async function askSwap(name, plugin, component, { way, percentage }) {
  const digest = await digestOf(component);
  const how = { plain: {}, canary: { canary: percentage }, shadow: { shadow: true } }[way];
  const upload = (more = {}) => {
    const query = new URLSearchParams({ ...how, ...more });
    const path = `${pathOf(name, "component")}${query.size > 0 ? `?${query}` : ""}`;
    return call("PUT", path, { file: component, isSwap: true });
  };
  const pairs = h(
    "dl",
    { class: "facts" },
    fact("File", h("span", { text: `${component.name}, ${bytes(component.size)}` })),
    digest && fact("Digest", h("code", { text: short(digest) })),
    fact("In place of", h("code", { text: short(plugin.digest) })),
  );
  return ask({
    title: `${way === "plain" ? "Swap" : capital(way)} ${name}?`,
    says: [
      pairs,
      digest === plugin.digest && "This is the very version that runs now.",
      ...WILL[way](percentage),
      "Whatever is wrong with it, it is refused, and the old version goes on untouched.",
    ],
    yes: {
      plain: "Swap",
      canary: `Start the canary on ${percentOf(percentage)}`,
      shadow: "Start the shadow",
    }[way],
    act: () => upload(),
    done: ({ result, digest: now, trial }) =>
      `\`${name}\`: ${result.replace("-", " ")}, \`${short(trial ?? now)}\``,
    mend: (problem) =>
      wantsMore(problem)
        ? {
            says: ["A new version that wants more than the old one had needs your explicit yes."],
            yes: "Accept the new imports",
            act: () => upload({ accept_new_imports: true }),
          }
        : null,
  });
}

/** Whether a component was refused because it imports what the old one does not. */
function wantsMore({ status, message }) {
  return status === 422 && /accept.new.imports/i.test(message);
}

/**
 * The digest of a file as the host will name it; none where the browser computes none, which is on plain http beyond
 * this machine.
 */
async function digestOf(file) {
  if (!crypto.subtle) return null;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  return `sha256:${[...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
