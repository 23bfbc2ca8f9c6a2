// The modal: always the uppermost view that is open for me. What is typed lives in the view's surface, so a view that is
// pushed on top and closed again gives back what was there.

import { renderBlocks, showErrors } from "./blocks.js";
import { fill, h, icon } from "./dom.js";
import { closeLayer, focusFirst, openLayer } from "./overlays.js";
import { plainText } from "./mrkdwn.js";
import { surfaceOf } from "./surface.js";

const TO_START = [".dialog-body [data-autofocus]", ".dialog-body :is(input, textarea, select)", ".dialog-footer .button-primary"];

/** Where to write it anew, with the sentence in view. */
function toError(block) {
  focusFirst(block, "input, textarea");
  block.scrollIntoView({ block: "nearest" });
}

export class Modal {
  #act;
  #layer = null;
  #modal = null;
  #surface = null;
  #directory = null;
  #sending = false;

  constructor(act) {
    this.#act = act;
  }

  /** Shows what the snapshot says is open: {view, stack_depth, errors, busy} or null. */
  show(modal, directory) {
    const before = this.#modal;
    this.#modal = modal;
    this.#directory = directory;
    if (!modal) {
      if (this.#layer) closeLayer(this.#layer);
      this.#layer = null;
      this.#sending = false;
      return;
    }
    const isOther = before?.view.id !== modal.view.id;
    if (isOther) this.#sending = false;
    const isFresh = this.#layer === null;
    if (isFresh) this.#build();
    this.#draw(isOther, JSON.stringify(before?.errors) !== JSON.stringify(modal.errors));
    if (isFresh) openLayer(this.#layer, () => this.#close());
    if (isOther) focusFirst(this.#layer, ...TO_START);
  }

  #build() {
    this.#layer = h(
      "div",
      { class: "layer" },
      h(
        "form",
        {
          class: "dialog",
          role: "dialog",
          "aria-modal": "true",
          "aria-labelledby": "modal-title",
          "data-testid": "modal",
          novalidate: true,
          onsubmit: (event) => {
            event.preventDefault();
            this.#submit();
          },
          onkeydown: (event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#submit();
          },
        },
        h("header", { class: "dialog-header" }),
        h("div", { class: "dialog-body" }),
        h("footer", { class: "dialog-footer" }),
      ),
    );
  }

  #draw(isOther, hasNewErrors) {
    const { view, stack_depth: depth, errors, busy } = this.#modal;
    const form = this.#layer.firstElementChild;
    const [header, body, footer] = form.children;
    const isBusy = busy || this.#sending;
    form.dataset.viewId = view.id;
    form.setAttribute("aria-busy", String(isBusy));
    fill(header, JSON.stringify([view.title, depth > 1]), () => [
      depth > 1
        ? h("button", { class: "icon-button", type: "button", "aria-label": "Back", "data-testid": "modal-back", onclick: () => this.#close() }, icon("back"))
        : null,
      h("h2", { id: "modal-title", "data-testid": "modal-title" }, plainText(view.title.text)),
      h("button", { class: "icon-button push-right", type: "button", "aria-label": "Close", "data-testid": "modal-x", onclick: () => this.#close() }, icon("close")),
    ]);
    if (isOther) body.replaceChildren();
    this.#surface = surfaceOf(view.id, { view_id: view.id }, this.#act, view.blocks, view.state?.values);
    renderBlocks(body, view.blocks, { surface: this.#surface, directory: this.#directory });
    const first = showErrors(body, errors);
    if (first && hasNewErrors) toError(first);
    if (isOther) body.scrollTop = 0;
    fill(footer, JSON.stringify([view.submit, view.close, isBusy]), () => [
      h("button", { class: "button", type: "button", "data-testid": "modal-close", onclick: () => this.#close() }, plainText(view.close?.text ?? (view.submit ? "Cancel" : "Close"))),
      view.submit
        ? h("button", { class: "button button-primary", type: "submit", "data-testid": "modal-submit", disabled: isBusy }, isBusy ? h("span", { class: "spinner", role: "status", "aria-label": "Sending" }) : null, plainText(view.submit.text))
        : null,
    ]);
  }

  async #submit() {
    const modal = this.#modal;
    if (!modal?.view.submit || this.#sending || modal.busy) return;
    this.#sending = true;
    this.#draw(false, false);
    await this.#act({ do: "submit", view_id: modal.view.id, state: this.#surface.state() });
    this.#sending = false;
    if (this.#layer) this.#draw(false, true);
  }

  #close() {
    if (this.#modal) this.#act({ do: "close", view_id: this.#modal.view.id });
  }
}
