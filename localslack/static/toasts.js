// Notices at the edge of the page: what the server noticed, and what went wrong here.

import { h, icon, keyed } from "./dom.js";

const box = document.getElementById("toasts");
const local = [];
let fromServer = [];
let dismiss = () => {};
const STAYS_MS = 15_000;
let serial = 0;

/** Shows the notices of a snapshot; `onDismiss(id)` tells the server. */
export function showNotices(notices, onDismiss) {
  fromServer = notices;
  dismiss = onDismiss;
  draw();
}

export function toast(text) {
  const notice = { id: `local-${(serial += 1)}`, text, local: true };
  local.push(notice);
  draw();
  setTimeout(() => remove(notice), STAYS_MS);
}

function draw() {
  keyed(box, [...fromServer, ...local], {
    key: (notice) => notice.id,
    signature: (notice) => notice.text,
    create: (notice) =>
      h(
        "div",
        { class: "toast", "data-testid": "toast" },
        h("span", {}, notice.text),
        h("button", { class: "icon-button", type: "button", "aria-label": "Dismiss", onclick: () => remove(notice) }, icon("close")),
      ),
  });
}

function remove(notice) {
  if (notice.local) {
    if (local.includes(notice)) local.splice(local.indexOf(notice), 1);
  } else {
    fromServer = fromServer.filter((each) => each.id !== notice.id);
    dismiss(notice.id);
  }
  draw();
}
