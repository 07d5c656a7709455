// The way of a plugin's messages as a small live diagram: Kafka, buffer, lanes, budget, outcomes. Where messages are
// held up that could have started, the diagram says so.

/** The most slots that are drawn one by one. */
const SLOTS_MAX = 20;

/** A diagram of one plugin's flow. */
function flowDiagram() {
  const stations = [kafkaStation(), bufferStation(), lanesStation(), budgetStation(), outcomesStation()];
  for (const { el } of stations.slice(0, -1))
    el.append(h("span", { class: "pipe", "aria-hidden": "true" }, h("i")));
  const el = h("ol", { class: "flow" }, elements(stations));
  return {
    el,
    update(plugin, history) {
      const held = heldShares(history);
      for (const station of stations) station.update(plugin, history, held);
      attribute(el, "data-pace", pace(plugin.handled_per_second));
    },
  };
}

/** How fast the pipes seem to flow, in a few steps: each change of an animation's speed makes it jump. */
function pace(perSecond) {
  if (!perSecond) return "still";
  return perSecond < 20 ? "slow" : perSecond < 500 ? "even" : "fast";
}

/** A station: what it is called, its one large figure with a unit, and more below. */
function station(title, ...below) {
  const figure = h("b", { class: "figure" });
  const unit = h("span", { class: "unit" });
  const el = h(
    "li",
    { class: "station" },
    h("h3", { text: title }),
    h("p", { class: "reading" }, figure, " ", unit),
    below,
  );
  return {
    el,
    read(text, of) {
      put(figure, text);
      put(unit, of);
    },
  };
}

function note() {
  return h("p", { class: "note" });
}

/** A bar that is filled as far as `share` goes. */
function gauge() {
  const el = h("div", { class: "gauge", "aria-hidden": "true" }, h("i"));
  return {
    el,
    update(share) {
      const known = Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
      variable(el, "--fill", known.toFixed(3));
      attribute(el, "data-full", known > 0.97);
    },
  };
}

/** Says that messages are held up here, as `words` have it. */
function holds(words) {
  const el = h("p", { class: "holds", hidden: true });
  return {
    el,
    update(share) {
      show(el, share !== null);
      if (share !== null) put(el, words(percent(share)));
    },
  };
}

const holdsBack = (share) => `holds back ${share} of the time`;

function kafkaStation() {
  const trend = note();
  const base = station("Kafka", trend);
  return {
    el: base.el,
    update(plugin, history) {
      base.read(count(plugin.lag), "behind");
      put(trend, lagWords(plugin, history));
    },
  };
}

function bufferStation() {
  const fill = gauge();
  const size = note();
  const held = holds((share) => `full ${share} of the time: Kafka waits`);
  const base = station("Buffer", fill.el, size, held.el);
  return {
    el: base.el,
    update(plugin, _, shares) {
      base.read(count(plugin.buffer_messages), `of ${count(plugin.budget.buffer)}`);
      fill.update(bufferFill(plugin));
      put(size, `${bytes(plugin.buffer_bytes)} of ${bytes(readSize(plugin.budget.buffer_bytes))}`);
      held.update(shares.buffer);
    },
  };
}

function lanesStation() {
  const parked = h("p", { class: "parked", hidden: true });
  const waited = note();
  const base = station("Lanes", parked, waited);
  return {
    el: base.el,
    update(plugin) {
      base.read(count(Math.max(0, plugin.buffer_messages - plugin.in_flight)), "waiting");
      show(parked, plugin.parked_lanes > 0);
      put(parked, `${counted(plugin.parked_lanes, "lane")} parked`);
      put(waited, plugin.wait_seconds.p50 === null ? "" : `p50 wait ${duration(plugin.wait_seconds.p50)}`);
    },
  };
}

function budgetStation() {
  const slots = slotRow();
  const heldByConcurrency = holds(holdsBack);
  const rateFigure = h("b", { class: "figure" });
  const rateUnit = h("span", { class: "unit" });
  const rateFill = gauge();
  const heldByRate = holds(holdsBack);
  const second = h(
    "div",
    { class: "half" },
    h("p", { class: "reading" }, rateFigure, " ", rateUnit),
    rateFill.el,
    heldByRate.el,
  );
  const base = station("Budget", slots.el, heldByConcurrency.el, second);
  return {
    el: base.el,
    update(plugin, _, shares) {
      const { concurrency, rate, scope } = plugin.budget;
      base.read(count(plugin.in_flight), `of ${count(concurrency)} in flight`);
      slots.update(plugin.in_flight, concurrency);
      heldByConcurrency.update(shares.concurrency);
      put(rateFigure, perSecond(plugin.handled_per_second));
      put(rateUnit, rate ? `of ${rateWords(rate)}${scope === "group" ? " for the group" : ""}` : "no rate");
      show(rateFill.el, rate !== null);
      rateFill.update(plugin.handled_per_second / (rate ? readRate(rate) : Infinity));
      heldByRate.update(shares.rate);
    },
  };
}

/** The places that a concurrency gives: one slot each while they can be counted by eye, else a bar. */
function slotRow() {
  const row = h("div", { class: "slots", "aria-hidden": "true" });
  const bar = gauge();
  return {
    el: h("div", {}, row, bar.el),
    update(taken, places) {
      const one = places <= SLOTS_MAX;
      show(row, one);
      show(bar.el, !one);
      bar.update(taken / places);
      if (!one) return;
      while (row.childElementCount > places) row.lastElementChild.remove();
      while (row.childElementCount < places) row.append(h("i"));
      [...row.children].forEach((slot, index) => attribute(slot, "data-taken", index < taken));
    },
  };
}

function outcomesStation() {
  const list = h("ul", { class: "outcomes" });
  const base = station("Outcomes", list);
  return {
    el: base.el,
    update(plugin) {
      base.read(count(plugin.messages.handled ?? 0), "handled");
      const others = OUTCOMES.filter((kind) => kind !== "handled").map((kind) => ({
        kind,
        messages: plugin.messages[kind] ?? 0,
      }));
      keep(
        list,
        others.filter(({ messages }) => messages > 0),
        ({ kind }) => kind,
        ({ kind }) => {
          const figure = h("b");
          return {
            el: h("li", { "data-kind": kind }, figure, ` ${kind}`),
            update: ({ messages }) => put(figure, count(messages)),
          };
        },
      );
    },
  };
}
