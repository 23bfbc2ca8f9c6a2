// Overlays of the page (modal, confirmation): focus stays inside the uppermost one, Escape closes it, and focus goes
// back to where it came from.

const FOCUSABLE = 'a[href], button:not([disabled]), input:not([disabled]), textarea, select, summary, [tabindex="0"]';

const stack = []; // {node, onEscape, cameFrom}

export function openLayer(node, onEscape) {
  stack.push({ node, onEscape, cameFrom: document.activeElement });
  document.getElementById("layers").append(node);
  settle();
}

export function closeLayer(node) {
  const index = stack.findIndex((layer) => layer.node === node);
  if (index < 0) return;
  const [{ cameFrom }] = stack.splice(index, 1);
  node.remove();
  settle();
  if (cameFrom?.isConnected) cameFrom.focus({ preventScroll: true });
}

/** Focuses what the first selector that finds something finds, else the first thing that can be focused. */
export function focusFirst(node, ...selectors) {
  const found = [...selectors, FOCUSABLE].map((selector) => node.querySelector(selector)).find(Boolean);
  (found ?? node).focus();
}

function settle() {
  document.getElementById("app").inert = stack.length > 0;
  stack.forEach((layer, index) => (layer.node.inert = index < stack.length - 1));
}

document.addEventListener("keydown", (event) => {
  const top = stack.at(-1);
  if (!top || event.defaultPrevented) return;
  if (event.key === "Escape") {
    event.preventDefault();
    top.onEscape();
  } else if (event.key === "Tab") {
    const reachable = [...top.node.querySelectorAll(FOCUSABLE)].filter((node) => node.offsetParent !== null);
    const [first, last] = [reachable[0], reachable.at(-1)];
    const inside = top.node.contains(document.activeElement);
    const edge = event.shiftKey ? first : last;
    if (inside && document.activeElement !== edge) return;
    event.preventDefault();
    (event.shiftKey ? last : first)?.focus();
  }
});
