// Builds and reconciles DOM nodes. Data only ever becomes text nodes and attributes, never markup, so that
// nothing a person, an app or a model wrote can run in this page.

const ICONS = {
  close: "M6 6l12 12M18 6L6 18",
  menu: "M4 7h16M4 12h16M4 17h16",
  thread: "M4 5h16v11H10l-4 4v-4H4z",
  send: "M4 4l16 8-16 8 3-8z",
  link: "M10 14a4 4 0 005.7 0l3-3a4 4 0 00-5.7-5.7l-1 1M14 10a4 4 0 00-5.7 0l-3 3a4 4 0 005.7 5.7l1-1",
  back: "M14 6l-6 6 6 6",
  down: "M7 10l5 5 5-5",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  eye: "M3 12s3.5-6 9-6 9 6 9 6-3.5 6-9 6-9-6-9-6zM12 10a2 2 0 100 4 2 2 0 000-4z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 017 0v3",
  hash: "M10 4L8 20M16 4l-2 16M5 9h15M4 15h15",
};

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: `on*` are listeners, booleans set or drop the attribute, `value`/`checked` are properties. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else if (name === "style") node.style.cssText = value; // as an attribute the page's own security policy refuses it
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

const marks = new WeakMap(); // node -> {key, signature}

/**
 * Makes the children of `parent` equal to `items` while touching as little as possible: a child whose signature did not
 * change stays the very same node, so what is being typed, focused, opened or selected in it survives.
 */
export function keyed(parent, items, { key, signature, create, update }) {
  const wanted = new Map(items.map((item, index) => [key(item, index), item]));
  const present = new Map();
  for (const node of [...parent.children]) {
    const known = marks.get(node)?.key;
    if (wanted.has(known)) present.set(known, node);
    else node.remove();
  }
  let next = parent.firstElementChild;
  for (const [name, item] of wanted) {
    let node = present.get(name);
    const print = signature(item);
    if (!node) {
      node = create(item);
    } else if (marks.get(node).signature !== print) {
      if (update) {
        update(node, item);
      } else {
        const fresh = create(item);
        replaceKeepingFocus(node, fresh);
        if (next === node) next = fresh;
        node = fresh;
      }
    }
    marks.set(node, { key: name, signature: print });
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
}

function replaceKeepingFocus(node, fresh) {
  const active = node.contains(document.activeElement) ? document.activeElement : null;
  node.replaceWith(fresh);
  if (!active) return;
  const { actionId } = active.dataset;
  const target = actionId && fresh.querySelector(`[data-action-id="${CSS.escape(actionId)}"]`);
  if (!target) return;
  target.focus({ preventScroll: true });
  if (typeof active.selectionStart === "number" && typeof target.selectionStart === "number")
    target.setSelectionRange(active.selectionStart, active.selectionEnd);
}

/** Replaces all children only when `signature` differs from the last time. */
export function fill(parent, signature, build) {
  if (marks.get(parent)?.fill === signature) return;
  marks.set(parent, { ...marks.get(parent), fill: signature });
  parent.replaceChildren(...[build()].flat(Infinity).filter(Boolean));
}
