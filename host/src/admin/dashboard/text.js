// Figures, times and budget values as people read and write them. Pure: no page, no network.

/** What stands where a figure is not known. */
const NONE = "–";
/** Between a figure and its unit, and between thousands: narrow, and no line ends there. */
const THIN = "\u202f";

/** A whole number, its thousands apart. */
function grouped(number) {
  return Math.round(number)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, THIN);
}

/** Three digits, or some more, so that a figure that changes keeps its width. */
function threeDigits(number, more = 0) {
  const size = Math.abs(number);
  return number.toFixed((size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2) + more);
}

/**
 * A count: exact up to five digits, then as in `1.23 M`, with `more` digits where those do not tell figures apart.
 */
function count(number, more = 0) {
  if (number == null || Number.isNaN(number)) return NONE;
  if (Math.abs(number) < 100_000) return grouped(number);
  const [unit, size] = [
    ["G", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ].find(([, size]) => Math.abs(number) >= size * 0.9995);
  return threeDigits(number / size, more) + THIN + unit;
}

/** `1 message`, `12 messages`. */
function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A number a second; a number a minute where that is easier to read. */
function perSecond(number) {
  if (number == null || Number.isNaN(number)) return NONE;
  if (number === 0) return "0/s";
  if (number < 0.1) return `${threeDigits(number * 60)}/min`;
  return `${number < 1000 ? threeDigits(number) : count(number)}/s`;
}

function percent(share) {
  if (share == null || Number.isNaN(share)) return NONE;
  const value = share * 100;
  const digits = value === 0 || value >= 9.95 ? 0 : value >= 0.95 ? 1 : 2;
  return `${value.toFixed(digits)}${THIN}%`;
}

/** A share that was given in percent, with no more digits than it has. */
function percentOf(value) {
  return `${Number(value.toFixed(2))}${THIN}%`;
}

/** A length of time in the units that fit it. */
function duration(seconds) {
  if (seconds == null || Number.isNaN(seconds)) return NONE;
  if (seconds === 0) return `0${THIN}s`;
  if (seconds < 0.000_999_5) return `${threeDigits(seconds * 1e6)}${THIN}µs`;
  if (seconds < 0.999_5) return `${threeDigits(seconds * 1e3)}${THIN}ms`;
  if (seconds < 9.95) return `${Number.isInteger(seconds) ? seconds : seconds.toFixed(1)}${THIN}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${THIN}s`;
  if (whole < 600) return twoUnits(whole, 60, "min", "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes}${THIN}min`;
  if (minutes < 48 * 60) return twoUnits(minutes, 60, "h", "min");
  const hours = Math.round(seconds / 3600);
  if (hours < 30 * 24) return twoUnits(hours, 24, "d", "h");
  const days = Math.round(hours / 24);
  return days < 730 ? `${days}${THIN}days` : `${Math.round(days / 365)}${THIN}years`;
}

function twoUnits(amount, size, large, small) {
  const rest = amount % size;
  const whole = `${Math.floor(amount / size)}${THIN}${large}`;
  return rest === 0 ? whole : `${whole} ${rest}${THIN}${small}`;
}

function bytes(number) {
  if (number == null || Number.isNaN(number)) return NONE;
  const units = [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ];
  const [unit, size] = units.find(([, size]) => number >= size) ?? ["B", 1];
  return `${unit === "B" ? number : threeDigits(number / size)}${THIN}${unit}`;
}

/** How long ago, for a time as RFC 3339 has it. */
function ago(text, now = Date.now()) {
  const seconds = (now - Date.parse(text)) / 1000;
  if (Number.isNaN(seconds)) return NONE;
  // The host's clock may be a little ahead of this one.
  return seconds < 2 ? "just now" : `${duration(Math.round(seconds))} ago`;
}

/** The time of day here, with the date when it is another day's. */
function clock(text, now = new Date()) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return text || NONE;
  const two = (number) => String(number).padStart(2, "0");
  const of = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
  if (time.toDateString() === now.toDateString()) return of;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${of}`;
}

/** The first digits of a component's digest: enough to tell versions apart. */
function short(digest) {
  return digest ? digest.replace(/^sha256:/, "").slice(0, 12) : NONE;
}

/** A text in which every digest is short. */
function shortened(text) {
  return text.replaceAll(/sha256:([0-9a-f]{12})[0-9a-f]{52}/g, "`$1`");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The address of a place in Kafka, as `dead-letters` has it. */
function place({ topic, partition, offset }) {
  return `${topic}/${partition}/${offset}`;
}

/** A word of a shell's command line: as it is where that is safe, else in quotes. */
function shellWord(text) {
  return /^[\w./:@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

const PERIODS = { s: 1, min: 60, h: 3600, day: 86_400 };
const TIMES = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };
const SIZES = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** Starts a second of a rate such as `11/s` or `950k/day`; none when it is no rate. */
function readRate(text) {
  const [, number, factor, period] = /^(\d+(?:\.\d+)?)([kM]?)\s*\/\s*(s|min|h|day)$/.exec(text.trim()) ?? [];
  if (!period) return null;
  const rate = (Number(number) * { "": 1, k: 1e3, M: 1e6 }[factor]) / PERIODS[period];
  // A hair's breadth of tolerance: the host reads decimal digits, and its word is the last.
  return rate >= (1 / 86_400) * 0.999_999 && rate <= 1.000_001e6 ? rate : null;
}

/** A rate as it is configured, and a second where that is not what it says. */
function rateWords(text) {
  return text.endsWith("/s") ? text : `${text} (${perSecond(readRate(text))})`;
}

/** Seconds of a duration such as `100ms`. */
function readDuration(text) {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text.trim()) ?? [];
  return unit ? Number(number) * TIMES[unit] : null;
}

/** Bytes of a size such as `16MiB`. */
function readSize(text) {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|KiB|MiB|GiB)?$/.exec(text.trim()) ?? [];
  if (!number || (!unit && number.includes("."))) return null;
  return Number(number) * SIZES[unit ?? "B"];
}

/** A whole number. */
function readCount(text) {
  return /^\d{1,15}$/.test(text.trim()) ? Number(text.trim()) : null;
}
