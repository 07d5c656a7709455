// The page as a whole: the line to the host, the address, and which view is shown. Everything is drawn from the
// newest snapshot, at most once a frame, and not at all while nobody looks.

/** News older than this are called old. */
const FRESH_MS_MAX = 2_500;

const byId = (id) => document.getElementById(id);

/** The newest snapshot, when it came, the history of every plugin in it, and how the line to the host is. */
const now = { plugins: [], histories: new Map(), at: 0, line: { state: "connecting" } };

/** What is shown: its page, whose plugin's it is, and what ends the page's own questions. */
const view = { page: null, plugin: null, abort: new AbortController() };

const line = new Line(take, lineChanged);

/** Takes in a snapshot. */
function take({ plugins }) {
  const at = Date.now();
  const seconds = Math.max(1, Math.round((at - now.at) / 1000));
  const before = new Map(now.plugins.map((plugin) => [plugin.name, plugin]));
  // A plugin that the host has no longer is forgotten, history and all.
  const histories = new Map();
  for (const plugin of plugins) {
    const history = now.histories.get(plugin.name) ?? new History();
    history.take(plugin, seconds);
    histories.set(plugin.name, history);
    announce(before.get(plugin.name), plugin);
  }
  Object.assign(now, { plugins, histories, at });
  drawLine();
  draw();
}

/** Tells screen readers when a plugin's state changes. */
function announce(before, plugin) {
  if (!before || before.state === plugin.state) return;
  put(byId("spoken"), `${plugin.name} is ${plugin.state}${plugin.reason ? `: ${plugin.reason}` : ""}`);
}

let frame = null;

function draw() {
  frame ??= requestAnimationFrame(() => {
    frame = null;
    if (now.at > 0) view.page.update(now);
    show(byId("waiting"), now.at === 0);
    show(byId("view"), now.at > 0);
    drawTitle();
  });
}

/** The title of the tab tells whether it is worth looking at. */
function drawTitle() {
  const inTrouble = now.plugins.filter((plugin) => plugin.state === "troubled").length;
  const mark = now.line.state === "lost" ? "⚠ no connection" : inTrouble > 0 ? `▲ ${inTrouble} troubled` : "";
  const wanted = [mark, view.plugin, "gristmill"].filter(Boolean).join(" · ");
  if (document.title !== wanted) document.title = wanted;
}

function lineChanged(news) {
  const wasLocked = now.line.state === "locked";
  now.line = news;
  document.documentElement.dataset.line = news.state;
  const words = { lost: `${capital(news.why ?? "")}.`, locked: "This host asks for a token." };
  put(byId("trouble"), words[news.state] ?? "");
  show(byId("banner"), news.state in words);
  put(byId("try"), news.state === "locked" ? "Enter the token" : "Try now");
  if (news.state === "locked" && !wasLocked) enter();
  drawLine();
  drawTitle();
}

/** How old the figures are, and when the host is tried again. Called every second, whatever comes. */
function drawLine() {
  const { state, retryAt } = now.line;
  const age = now.at === 0 ? null : Date.now() - now.at;
  const old = age === null ? "" : `${duration(Math.round(age / 1000))} old`;
  const isFresh = state === "live" && age !== null && age < FRESH_MS_MAX;
  put(byId("line"), isFresh ? "live" : age === null ? state : old);
  attribute(byId("line"), "data-fresh", isFresh);
  const figures = old ? `The figures below are ${old}.` : "";
  const seconds = retryAt ? Math.max(1, Math.ceil((retryAt - Date.now()) / 1000)) : null;
  const next =
    state === "locked" ? "" : seconds === null ? "Trying now…" : `Trying again in ${seconds}${THIN}s.`;
  put(byId("age"), `${figures} ${next}`.trim());
}

let isAsking = false;

/** Asks for the token, and tries with it. */
async function enter() {
  if (isAsking) return;
  isAsking = true;
  const isGiven = await askToken(token.get() ? "The token that was given is not the right one." : "");
  isAsking = false;
  show(byId("leave"), token.get() !== "");
  if (isGiven) line.tryNow();
}

/** Forgets the token, and everything that was seen with it. */
function forget() {
  token.set("");
  location.reload();
}

/** The parts of the address behind `#`; the overview for one that makes no sense. */
function addressParts() {
  try {
    const [kind, plugin, section] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
    return kind === "plugins" && plugin ? { plugin, section } : {};
  } catch {
    return {};
  }
}

/** Shows what the address says. */
function route({ isFirst = false } = {}) {
  const { plugin = null, section } = addressParts();
  if (!view.page || view.plugin !== plugin) {
    view.abort.abort();
    view.abort = new AbortController();
    view.plugin = plugin;
    view.page = plugin === null ? overviewPage() : pluginPage(plugin, view.abort.signal);
    byId("view").replaceChildren(view.page.el);
    // Drawn at once, so that there is something to go to.
    if (now.at > 0) view.page.update(now);
    scrollTo(0, 0);
    if (!isFirst) view.page.title.focus({ preventScroll: true });
  }
  draw();
  if (section) requestAnimationFrame(() => requestAnimationFrame(() => goTo(section)));
}

function goTo(section) {
  const target = byId(section);
  if (!target) return;
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}

put(byId("product"), `gristmill ${PAGE.version}`);
put(byId("host"), location.host);
show(byId("leave"), token.get() !== "");
byId("leave").addEventListener("click", forget);
byId("try").addEventListener("click", () => (now.line.state === "locked" ? enter() : line.tryNow()));
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
addEventListener("hashchange", () => route());
setInterval(drawLine, 1000);
route({ isFirst: true });
line.follow();
