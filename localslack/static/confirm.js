// The "are you sure" of a `confirm` object.

import { h } from "./dom.js";
import { closeLayer, focusFirst, openLayer } from "./overlays.js";
import { textObject } from "./mrkdwn.js";

let directory = null;

export function namesForConfirm(names) {
  directory = names;
}

/** True at once when there is nothing to confirm, else what the person answered. */
export function confirmed(confirm) {
  if (!confirm) return Promise.resolve(true);
  return new Promise((resolve) => {
    const answer = (value) => {
      closeLayer(layer);
      resolve(value);
    };
    const yes = confirm.style === "danger" ? "button button-danger" : "button button-primary";
    const layer = h(
      "div",
      { class: "layer" },
      h(
        "div",
        {
          class: "dialog dialog-small",
          role: "alertdialog",
          "aria-modal": "true",
          "aria-labelledby": "confirm-title",
          "aria-describedby": "confirm-text",
          "data-testid": "confirm",
        },
        h("header", { class: "dialog-header" }, h("h2", { id: "confirm-title" }, textObject(confirm.title, directory))),
        h("div", { class: "dialog-body text", id: "confirm-text" }, textObject(confirm.text, directory)),
        h(
          "footer",
          { class: "dialog-footer" },
          h(
            "button",
            { class: "button", type: "button", "data-testid": "confirm-no", onclick: () => answer(false) },
            textObject(confirm.deny ?? { type: "plain_text", text: "Cancel" }, directory),
          ),
          h(
            "button",
            { class: yes, type: "button", "data-testid": "confirm-yes", onclick: () => answer(true) },
            textObject(confirm.confirm ?? { type: "plain_text", text: "Yes" }, directory),
          ),
        ),
      ),
    );
    openLayer(layer, () => answer(false));
    focusFirst(layer, '[data-testid="confirm-yes"]');
  });
}
