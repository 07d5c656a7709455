// The last minutes of every plugin, made from one snapshot a second. What is held is of a fixed length: a page that
// is open for a day holds no more than one that is open for an hour.

/** What is held of each series: the last five minutes second by second, the last hour in steps of ten seconds. */
const SPANS = {
  fine: { length: 300, seconds: 1, words: "5 min" },
  coarse: { length: 360, seconds: 10, words: "1 h" },
};

/** Most seconds without news that are drawn as a straight line; longer ones stay empty. */
const BRIDGED_MAX = 15;

const OUTCOMES = ["handled", "dead-lettered", "parked", "skipped"];
const TRAPS = ["trap", "timeout", "cpu", "memory", "exit"];
const THROTTLES = ["rate", "concurrency", "buffer"];

/** What is as it is at a moment. In a coarse step the highest counts, so that no peak is lost. */
const LEVELS = {
  handled: (plugin) => plugin.handled_per_second,
  rate: (plugin) => (plugin.budget.rate ? (readRate(plugin.budget.rate) ?? NaN) : NaN),
  in_flight: (plugin) => plugin.in_flight,
  concurrency: (plugin) => plugin.budget.concurrency,
  buffer: (plugin) => bufferFill(plugin),
  lag: (plugin) => plugin.lag ?? NaN,
  p50: (plugin) => plugin.handle_seconds.p50 ?? NaN,
  p99: (plugin) => plugin.handle_seconds.p99 ?? NaN,
};

/** What only ever grows while the host runs; its growth a second is what is held. */
const COUNTERS = {
  ...Object.fromEntries(
    OUTCOMES.map((kind) => [kind === "handled" ? "ended" : kind, (plugin) => plugin.messages[kind] ?? 0]),
  ),
  ...Object.fromEntries(TRAPS.map((kind) => [`trap:${kind}`, (plugin) => plugin.traps[kind] ?? 0])),
  ...Object.fromEntries(
    THROTTLES.map((kind) => [`throttled:${kind}`, (plugin) => plugin.throttled_seconds[kind] ?? 0]),
  ),
  given_up: (plugin) => givenUp(plugin.messages),
  failed: (plugin) => plugin.retries + givenUp(plugin.messages),
};

/** Every attempt that fails is followed by another one, or its message is given up. */
function givenUp(messages) {
  return (messages["dead-lettered"] ?? 0) + (messages.parked ?? 0) + (messages.skipped ?? 0);
}

/** How full the buffer is, of messages or bytes, whichever is nearer to its bound. */
function bufferFill(plugin) {
  const ofBytes = plugin.buffer_bytes / (readSize(plugin.budget.buffer_bytes) || Infinity);
  return Math.min(1, Math.max(plugin.buffer_messages / plugin.budget.buffer, ofBytes));
}

/** The last numbers of a series, the oldest first. */
class Ring {
  #values;
  /** How many were ever pushed. */
  total = 0;

  constructor(length) {
    this.#values = new Float64Array(length).fill(NaN);
  }

  get length() {
    return this.#values.length;
  }

  push(value) {
    this.#values[this.total % this.length] = value;
    this.total += 1;
  }

  /** The number at `index` from the oldest. */
  at(index) {
    return this.#values[(this.total + index) % this.length];
  }

  /** The last number. */
  get last() {
    return this.at(this.length - 1);
  }

  /** The numbers of the last `length` that are known. */
  known(length = this.length) {
    const values = [];
    for (let index = this.length - length; index < this.length; index += 1) {
      const value = this.at(index);
      if (!Number.isNaN(value)) values.push(value);
    }
    return values;
  }

  /** What the last `length` come to on average; not a number when none is known. */
  mean(length) {
    const values = this.known(length);
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  }
}

/** The last minutes of one plugin. */
class History {
  #before = null;
  #steps = 0;
  fine = {};
  coarse = {};

  constructor() {
    for (const name of [...Object.keys(LEVELS), ...Object.keys(COUNTERS)]) {
      this.fine[name] = new Ring(SPANS.fine.length);
      this.coarse[name] = new Ring(SPANS.coarse.length);
    }
  }

  /** Takes in how the plugin is now, `seconds` (whole, at least one) after the last time. */
  take(plugin, seconds) {
    const now = {};
    for (const [name, read] of Object.entries(LEVELS)) now[name] = read(plugin);
    for (const [name, read] of Object.entries(COUNTERS)) now[name] = read(plugin);
    const before = this.#before;
    this.#before = now;
    // Without news for long nothing is known of the time between.
    const empty =
      !before || seconds > BRIDGED_MAX
        ? Math.min(seconds, SPANS.coarse.length * SPANS.coarse.seconds) - 1
        : 0;
    for (let second = 0; second < empty; second += 1) this.#push(() => NaN);
    const steps = empty > 0 || !before ? 1 : seconds;
    for (let step = 1; step <= steps; step += 1) {
      this.#push((name) => {
        if (name in LEVELS)
          return before && steps > 1 ? before[name] + ((now[name] - before[name]) * step) / steps : now[name];
        // A counter that went back belongs to a host that was started anew.
        return before && empty === 0 && now[name] >= before[name]
          ? (now[name] - before[name]) / seconds
          : NaN;
      });
    }
  }

  #push(valueOf) {
    this.#steps += 1;
    for (const [name, ring] of Object.entries(this.fine)) {
      ring.push(valueOf(name));
      if (this.#steps % SPANS.coarse.seconds === 0) this.coarse[name].push(folded(name, ring));
    }
  }
}

/** One coarse step of a series. */
function folded(name, ring) {
  const { seconds } = SPANS.coarse;
  if (name in COUNTERS || name === "handled") return ring.mean(seconds);
  const known = ring.known(seconds);
  return known.length > 0 ? Math.max(...known) : NaN;
}

/** From this share of the time on it is worth a word that something holds messages back. */
const HELD_NOTED = 0.2;
/** From this share on it is what holds the plugin. */
const HELD_NAMED = 0.5;

/**
 * For what share of the last ten seconds messages that could have started did not, by what held them; none where it
 * is not worth a word.
 */
function heldShares(history) {
  const share = (by) => Math.min(1, history.fine[`throttled:${by}`].mean(10));
  return Object.fromEntries(THROTTLES.map((by) => [by, share(by) >= HELD_NOTED ? share(by) : null]));
}

/**
 * What holds a plugin at work, in one word. A full buffer is what the other two lead to, and so named only without
 * them.
 */
function heldBy({ state }, history) {
  if (state !== "running") return null;
  const { rate, concurrency, buffer } = heldShares(history);
  const [by, share] = (rate ?? 0) >= (concurrency ?? 0) ? ["rate", rate] : ["concurrency", concurrency];
  if (share >= HELD_NAMED) return by;
  return share === null && buffer >= HELD_NAMED ? "buffer" : null;
}

/**
 * Where the lag goes: its change a second over the last minute, and seconds until it is gone, where that can be said.
 */
function lagTrend(history) {
  const known = history.fine.lag.known(60);
  if (known.length < 10) return { change: NaN, gone: null };
  // The mean of each half, because a single figure of the lag jumps with every commit.
  const half = Math.floor(known.length / 2);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const change = (mean(known.slice(-half)) - mean(known.slice(0, half))) / (known.length - half);
  const lag = known[known.length - 1];
  return { change, gone: change < 0 && lag > 0 ? lag / -change : null };
}

/** The same in words. */
function lagWords(plugin, history) {
  if (plugin.lag == null) return "not known yet";
  if (plugin.lag === 0) return "nothing waits in Kafka";
  const { change, gone } = lagTrend(history);
  if (Number.isNaN(change)) return "";
  // What comes and goes within a second's work is no trend.
  const steady = Math.max(0.05, plugin.lag * 0.000_02, plugin.handled_per_second * 0.02);
  if (change > steady) return `grows by ${perSecond(change)}`;
  if (change < -steady && gone !== null) return `gone in about ${duration(Math.max(1, Math.round(gone)))}`;
  return "neither grows nor shrinks";
}
