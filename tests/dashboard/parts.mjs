// The parts of the dashboard that need no page: words and units, the last minutes, events out of a stream of text.
//
//   node --test parts.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const folder = new URL("../../host/src/admin/dashboard/", import.meta.url);
const code = ["text.js", "history.js", "host.js"].map((name) => readFileSync(new URL(name, folder), "utf8"));
const names =
  "count duration perSecond percent ago readRate readDuration readSize readCount shellWord short " +
  "Ring History SPANS heldBy lagWords lagTrend Events headerText";
const list = names.split(" ").join(", ");
const parts = vm.runInThisContext(`(() => {\n${code.join("\n")}\nreturn { ${list} };\n})()`);
const plain = (text) => text.replaceAll("\u202f", " ");

/** A plugin as the API shows it, but for what is changed. */
function plugin(changed = {}) {
  return {
    state: "running",
    budget: { concurrency: 4, rate: "10/s", buffer: 100, buffer_bytes: "1MiB" },
    handled_per_second: 10,
    in_flight: 2,
    buffer_messages: 50,
    buffer_bytes: 1024,
    lag: 1000,
    handle_seconds: { p50: 0.1, p99: 0.5 },
    messages: { handled: 100, "dead-lettered": 0, parked: 0, skipped: 0 },
    retries: 0,
    traps: { trap: 0, timeout: 0, cpu: 0, memory: 0, exit: 0 },
    throttled_seconds: { rate: 0, concurrency: 0, buffer: 0 },
    ...changed,
  };
}

/** A history of one snapshot a second. */
function history(snapshots) {
  const history = new parts.History();
  for (const snapshot of snapshots) history.take(snapshot, 1);
  return history;
}

const seconds = (length, of) => Array.from({ length }, (_, second) => plugin(of(second)));

test("figures are short and keep their width", () => {
  const counts = [0, 999, 12_345, 99_999, 100_000, 999_499, 999_999, 1_234_567, 1_234_567_890];
  assert.deepEqual(
    counts.map((number) => plain(parts.count(number))),
    ["0", "999", "12 345", "99 999", "100 k", "999 k", "1.00 M", "1.23 M", "1.23 G"],
  );
  const times = [0, 0.000_012, 0.0123, 0.9999, 1, 3.14159, 59.6, 90, 600, 3_700, 200_000, 40 * 86_400];
  assert.deepEqual(times.map(parts.duration).map(plain), [
    "0 s",
    "12.0 µs",
    "12.3 ms",
    "1.0 s",
    "1 s",
    "3.1 s",
    "1 min",
    "1 min 30 s",
    "10 min",
    "1 h 2 min",
    "2 d 8 h",
    "40 days",
  ]);
  assert.deepEqual([0, 0.01, 10.94, 2345].map(parts.perSecond).map(plain), [
    "0/s",
    "0.60/min",
    "10.9/s",
    "2 345/s",
  ]);
  assert.deepEqual([0, 0.0003, 0.05, 1].map(parts.percent).map(plain), ["0 %", "0.03 %", "5.0 %", "100 %"]);
  assert.deepEqual([parts.count(null), parts.duration(undefined), parts.percent(NaN)], ["–", "–", "–"]);
});

test("a budget's values are read as the host reads them", () => {
  const rates = ["11/s", "600/min", "950k/day", "0.1/s", "1M/s"].map(parts.readRate);
  assert.deepEqual(
    rates.map((rate) => Number(rate.toPrecision(6))),
    [11, 10, 10.9954, 0.1, 1_000_000],
  );
  for (const wrong of ["", "11", "11/sec", "0/s", "2M/s", "-1/s", "0.5/day", "1 k/s", "1e3/s"]) {
    assert.equal(parts.readRate(wrong), null, wrong);
  }
  assert.deepEqual(["100ms", "1.5s", "5m", "2h", "1d", "1"].map(parts.readDuration), [
    0.1,
    1.5,
    300,
    7200,
    86_400,
    null,
  ]);
  assert.deepEqual(["16MiB", "64KiB", "1kB", "512", "1.5", "x"].map(parts.readSize), [
    16 * 2 ** 20,
    65_536,
    1000,
    512,
    null,
    null,
  ]);
  assert.deepEqual(["7", " 12 ", "0x10", "1.0", ""].map(parts.readCount), [7, 12, null, null, null]);
});

test("a word of a command line is safe to paste", () => {
  assert.deepEqual(["orders-dead", "a b", "it's", "$(rm)"].map(parts.shellWord), [
    "orders-dead",
    "'a b'",
    "'it'\\''s'",
    "'$(rm)'",
  ]);
});

test("events come out of a stream wherever it is cut", () => {
  const text =
    'retry: 2000\n\n: alive\n\ndata: {"a":1}\n\ndata: two\r\ndata: lines\r\n\r\nevent: x\ndata:tight\n\ndata: not yet';
  for (let cut = 0; cut <= text.length; cut += 1) {
    const events = new parts.Events();
    const found = [text.slice(0, cut), text.slice(cut)].flatMap((piece) => events.take(piece));
    assert.deepEqual(found, ['{"a":1}', "two\nlines", "tight"], `cut at ${cut}`);
  }
  assert.throws(() => new parts.Events().take("x".repeat(33_000_000)), /without end/);
});

test("what is held is of a fixed length, however long it goes on", () => {
  const { fine, coarse } = history(seconds(10_000, (second) => ({ in_flight: second % 7 })));
  assert.equal(fine.in_flight.length, parts.SPANS.fine.length);
  assert.equal(coarse.in_flight.length, parts.SPANS.coarse.length);
  assert.equal(fine.in_flight.last, 9_999 % 7);
  assert.equal(coarse.in_flight.last, 6, "the highest of ten seconds");
});

test("counters become a rate, and one that goes back is a gap, not an abyss", () => {
  const handled = (number) => ({ messages: { handled: number } });
  const { fine } = history([100, 110, 125, 3, 10].map((number) => plugin(handled(number))));
  assert.deepEqual(fine.ended.known(), [10, 15, 7]);
});

test("a short silence is bridged, a long one stays empty", () => {
  const short = history(seconds(3, () => ({ lag: 100 })));
  short.take(plugin({ lag: 150, retries: 10 }), 5);
  assert.deepEqual(short.fine.lag.known(5), [110, 120, 130, 140, 150]);
  assert.deepEqual(short.fine.failed.known(5), [2, 2, 2, 2, 2]);
  const long = history(seconds(3, () => ({ lag: 100 })));
  long.take(plugin({ lag: 150 }), 60);
  assert.deepEqual(long.fine.lag.known(60), [150]);
  long.take(plugin({ lag: 150 }), 10_000_000);
  assert.deepEqual(long.fine.lag.known(), [150]);
});

test("what holds a plugin is the rate or the concurrency, and a full buffer only without them", () => {
  const held = (shares, state = "running") => {
    const throttled = (second) => ({
      throttled_seconds: Object.fromEntries(
        Object.entries(shares).map(([by, share]) => [by, share * second]),
      ),
    });
    return parts.heldBy({ state }, history(seconds(12, throttled)));
  };
  assert.equal(held({ rate: 0.9, concurrency: 0.1, buffer: 1 }), "rate");
  assert.equal(held({ rate: 0.1, concurrency: 0.5, buffer: 0.9 }), "concurrency");
  assert.equal(held({ rate: 0, concurrency: 0, buffer: 0.9 }), "buffer");
  assert.equal(held({ rate: 0.1, concurrency: 0, buffer: 0 }), null);
  assert.equal(held({ rate: 1, concurrency: 0, buffer: 0 }, "paused"), null);
});

test("where the lag goes is said in words", () => {
  const words = (lag) => {
    const snapshots = seconds(60, (second) => ({ lag: lag(second) }));
    return plain(parts.lagWords(snapshots.at(-1), history(snapshots)));
  };
  assert.equal(
    words((second) => 1_000 - second * 10),
    "gone in about 41 s",
  );
  assert.equal(
    words((second) => 1_000 + second * 5),
    "grows by 5.00/s",
  );
  assert.equal(
    words(() => 1_000),
    "neither grows nor shrinks",
  );
  assert.equal(
    words(() => 0),
    "nothing waits in Kafka",
  );
  assert.equal(
    words(() => null),
    "not known yet",
  );
});

test("a name outside of ASCII fits into a header", () => {
  assert.equal(Buffer.from(parts.headerText("Jörg 木"), "latin1").toString(), "Jörg 木");
});
