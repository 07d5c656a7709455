// Making and changing elements. Data becomes text and attributes only, never markup; and what did not change is not
// touched, so that an update once a second disturbs neither focus nor what is being typed.

const SVG = "http://www.w3.org/2000/svg";

/**
 * What the host put into the page: its version, and the words and ranges of a budget, whose one home is its config.
 */
const PAGE = JSON.parse(document.getElementById("facts").textContent);

/** An element: `text` is its text, `on…` are listeners, everything else attributes. None and false are left out. */
function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else attribute(node, name, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

/** Sets an attribute; none and false take it away, true makes it empty. */
function attribute(node, name, value) {
  const text = value == null || value === false ? null : value === true ? "" : String(value);
  if (text === node.getAttribute(name)) return;
  if (text === null) node.removeAttribute(name);
  else node.setAttribute(name, text);
}

/** Sets the text of an element, of which it is all. */
function put(node, text) {
  const wanted = text ?? "";
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Text in which what stands in backticks is set as code. */
function coded(text) {
  return text.split("`").map((part, index) => (index % 2 === 1 ? h("code", { text: part }) : part));
}

/** The same, as all of an element's text. */
function putCoded(node, text) {
  const wanted = text ?? "";
  if (node.textContent !== wanted.replaceAll("`", "")) node.replaceChildren(...coded(wanted));
}

function show(node, visible) {
  if (!visible && !node.hidden) leave(node);
  attribute(node, "hidden", !visible);
}

/** Sets a variable that the style sheet reads. */
function variable(node, name, value) {
  if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value);
}

/**
 * Makes the children of `parent` those of `items`, in order: one part `{ el, update }` from `make` for each key.
 * Parts that are there already stay, with focus and all.
 */
function keep(parent, items, keyOf, make) {
  const old = parent.parts ?? new Map();
  const parts = new Map();
  for (const item of items) {
    const key = keyOf(item);
    const part = old.get(key) ?? make(item);
    part.update(item);
    parts.set(key, part);
  }
  for (const [key, part] of old) if (!parts.has(key)) remove(part.el);
  let next = parent.firstElementChild;
  for (const { el } of parts.values()) {
    if (el === next) next = next.nextElementSibling;
    else parent.insertBefore(el, next);
  }
  parent.parts = parts;
}

/** Has an element that is to go the focus, what is around it gets it, so that the keyboard is not back at the top. */
function leave(el) {
  if (el.contains(document.activeElement))
    el.parentElement?.closest("[tabindex='-1']")?.focus({ preventScroll: true });
}

function remove(el) {
  leave(el);
  el.remove();
}

/** The elements of parts. */
function elements(parts) {
  return parts.map(({ el }) => el);
}

let lastId = 0;

/** An id that nothing else on the page has. */
function freshId(word) {
  lastId += 1;
  return `${word}-${lastId}`;
}

/** A label and its field. */
function field(label, input, ...more) {
  input.id ||= freshId("field");
  return h("div", { class: "field" }, h("label", { for: input.id, text: label }), input, ...more);
}

function button(text, onclick, props = {}) {
  return h("button", { type: "button", onclick, ...props }, text);
}

/** A section of a page that can be linked to. */
function section(id, title, ...children) {
  const heading = freshId("heading");
  return h(
    "section",
    { id, class: "panel", tabindex: "-1", "aria-labelledby": heading },
    h("h2", { id: heading, text: title }),
    ...children,
  );
}
