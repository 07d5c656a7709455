// Talking to the host: requests, and the events that it sends, once a second, for as long as the page is open.

/** Where the token is kept: gone with the tab, and never in the address or on disk. */
const TOKEN_KEY = "gristmill-token";
/** Where the name of whoever uses this browser is kept, and what stands there until one is given. */
const USER_KEY = "gristmill-user";
const USER_UNNAMED = "dashboard";
/** How long a question may take. */
const ANSWER_MS_MAX = 10_000;
/** How long a swap may take, forwards or back: the component is loaded, compiled and started first. */
const SWAP_MS_MAX = 300_000;
/** Silence after which a stream that brings news every second is given up. */
const SILENCE_MS_MAX = 5_000;
/** The longest wait before the host is tried again. */
const RETRY_MS_MAX = 15_000;
/**
 * A hidden page lets go of its stream after this long and asks now and then: a browser gives one host six
 * connections, and with each of them held by a tab in the background not even a pause would get through.
 */
const HIDDEN_MS_MAX = 20_000;
const HIDDEN_ASK_MS = 5_000;
/** The longest event that is taken, in characters: a thousand plugins have some 3 M. */
const EVENT_CHARACTERS_MAX = 32_000_000;

/** What the host answered instead of doing what was asked; status 0 when it did not answer. */
class Problem extends Error {
  constructor(status, detail, more = {}) {
    super(detail);
    this.status = status;
    this.more = more;
  }
}

const token = {
  get: () => sessionStorage.getItem(TOKEN_KEY) ?? "",
  set: (text) => (text ? sessionStorage.setItem(TOKEN_KEY, text) : sessionStorage.removeItem(TOKEN_KEY)),
};

/** Who uses this browser, as the host notes it beside what was changed. */
const user = {
  get: () => localStorage.getItem(USER_KEY) || USER_UNNAMED,
  set: (text) => (text ? localStorage.setItem(USER_KEY, text) : localStorage.removeItem(USER_KEY)),
};

/** A text as a header carries it: its UTF-8 bytes, each as a character. */
function headerText(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** Sends a request; returns the response when it is a good one, else throws a `Problem`. */
async function send(method, path, { body, type, signal }) {
  const headers = { "Gristmill-User": headerText(user.get()) };
  if (token.get()) headers.Authorization = `Bearer ${headerText(token.get())}`;
  if (type) headers["Content-Type"] = type;
  const response = await fetch(path, { method, headers, body, signal, cache: "no-store", redirect: "error" });
  if (response.ok) return response;
  const text = await response.text();
  const more = details(text);
  throw new Problem(response.status, more.detail ?? (text.slice(0, 500) || response.statusText), more);
}

/** The problem details in an answer; none when it is not from the host itself but from something before it. */
function details(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** Asks the host for something, or to do something. `json` and `file` are bodies; `isSwap` may take longer. */
async function call(method, path, { json, file, isSwap = false } = {}) {
  const limit = isSwap ? SWAP_MS_MAX : ANSWER_MS_MAX;
  const content = file
    ? { body: file, type: "application/wasm" }
    : json
      ? { body: JSON.stringify(json), type: "application/json" }
      : {};
  try {
    const response = await send(method, path, { ...content, signal: AbortSignal.timeout(limit) });
    return await response.json();
  } catch (error) {
    if (error instanceof Problem) throw error;
    const slow = error.name === "TimeoutError";
    const what = slow
      ? `the host did not answer within ${duration(limit / 1000)}`
      : "the host cannot be reached";
    const done =
      method === "GET"
        ? ""
        : "; whether it was done is not known: look at the plugin's changes before trying again";
    throw new Problem(0, what + done);
  }
}

/** The path of a plugin in the API. */
function pathOf(name, ...more) {
  return ["/api/v1/plugins", ...[name, ...more].map(encodeURIComponent)].join("/");
}

/** Does something every `ms`, one at a time, until `signal` aborts; not while nobody looks. */
async function repeat(ms, signal, action) {
  while (!signal.aborted) {
    if (!document.hidden) await action();
    await new Promise((resolve) => setTimeout(resolve, ms));
  }
}

/** Cuts a stream of text into what its events carry. */
class Events {
  #rest = "";

  /** Takes in more of the stream, returns the data of the events that it completed. */
  take(text) {
    const blocks = (this.#rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.#rest = blocks.pop();
    if (this.#rest.length > EVENT_CHARACTERS_MAX) throw new Problem(0, "the host sends an event without end");
    return blocks.map(dataOf).filter((data) => data !== "");
  }
}

function dataOf(block) {
  const lines = block.split("\n").filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice("data:".length).replace(/^ /, "")).join("\n");
}

/** Follows the host for ever. */
class Line {
  #onNews;
  #onChange;
  #abort = null;
  #wake = () => {};
  #isAside = false;
  #heard = false;

  /**
   * `onNews` gets each snapshot; `onChange` gets how the line is: its `state` (connecting, live, lost, or locked when
   * the token is missing or wrong), `why`, and the time `retryAt`, none while it is being tried.
   */
  constructor(onNews, onChange) {
    this.#onNews = onNews;
    this.#onChange = onChange;
    let timer = null;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(() => this.#setAside(true), HIDDEN_MS_MAX);
      else this.#setAside(false);
    });
  }

  /** Tries at once instead of waiting further. */
  tryNow() {
    this.#wake();
  }

  async follow() {
    this.#onChange({ state: "connecting" });
    for (let failures = 0; ;) {
      this.#heard = false;
      const problem = await (this.#isAside ? this.#glance() : this.#stream());
      if (this.#heard) failures = 0;
      if (!problem) continue;
      const isLocked = problem.status === 401;
      const wait = isLocked ? null : Math.min(RETRY_MS_MAX, 500 * 2 ** failures);
      failures += 1;
      const state = isLocked ? "locked" : "lost";
      this.#onChange({ state, why: problem.message, retryAt: isLocked ? null : Date.now() + wait });
      await this.#pause(wait);
      this.#onChange({ state: "lost", why: problem.message, retryAt: null });
    }
  }

  #setAside(isAside) {
    if (isAside === this.#isAside) return this.#wake();
    this.#isAside = isAside;
    // Ends the stream, or the wait until the next glance; the loop goes on in the other way.
    this.#abort?.abort();
    this.#wake();
  }

  /** Reads events until the stream ends; returns what ended it, nothing when the page itself did. */
  async #stream() {
    const abort = new AbortController();
    this.#abort = abort;
    let silence = null;
    let isSilent = false;
    const listen = () => {
      clearTimeout(silence);
      silence = setTimeout(() => {
        isSilent = true;
        abort.abort();
      }, SILENCE_MS_MAX);
    };
    try {
      listen();
      const response = await send("GET", "/api/v1/events", { signal: abort.signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const events = new Events();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return new Problem(0, "the host closed the connection");
        listen();
        for (const data of events.take(value)) this.#news(JSON.parse(data));
      }
    } catch (error) {
      if (isSilent) return new Problem(0, `the host has been silent for ${duration(SILENCE_MS_MAX / 1000)}`);
      return abort.signal.aborted ? null : whyEnded(error);
    } finally {
      clearTimeout(silence);
      abort.abort();
    }
  }

  /** Asks once, for a page that nobody looks at. */
  async #glance() {
    try {
      this.#news(await call("GET", "/api/v1/plugins"));
    } catch (error) {
      return whyEnded(error);
    }
    await this.#pause(HIDDEN_ASK_MS);
    return null;
  }

  #news(snapshot) {
    this.#heard = true;
    this.#onChange({ state: "live" });
    try {
      this.#onNews(snapshot);
    } catch (error) {
      // A fault of the page's own is no fault of the line.
      reportError(error);
    }
  }

  /** Waits so long, for ever when there is no time, or until it is woken. */
  #pause(ms) {
    return new Promise((resolve) => {
      const timer = ms === null ? null : setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function whyEnded(error) {
  if (error instanceof Problem) return error;
  if (error instanceof SyntaxError) return new Problem(0, "the host sent what cannot be read");
  return new Problem(0, "the host cannot be reached");
}
