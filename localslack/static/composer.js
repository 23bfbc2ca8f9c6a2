// Text entry: Enter sends, Shift+Enter makes a line, "/" offers the app's commands, "@" offers names. A draft stays
// with its channel, thread and person.

import { h, icon } from "./dom.js";

const drafts = new Map(); // place -> text
const NAME = /(^|\s)@([\w.-]*)$/;

export class Composer {
  #onSend;
  #where = "";
  #offers = []; // [{text, label, hint, description}]
  #active = 0;
  #commands = [];
  #names = [];
  #input;
  #list;
  #send;

  /** `onSend(text)` answers a promise of whether it was taken; a text that was not taken comes back. */
  constructor(parent, { testid, label, onSend }) {
    this.#onSend = onSend;
    const listId = `${testid}-offers`;
    this.#input = h("textarea", {
      class: "composer-input",
      rows: "1",
      "data-testid": testid,
      "aria-label": label,
      "aria-controls": listId,
      "aria-autocomplete": "list",
      oninput: () => this.#changed(),
      onkeydown: (event) => this.#key(event),
      onblur: () => this.#hide(),
    });
    this.#list = h("ul", { class: "offers", id: listId, role: "listbox", "aria-label": "Suggestions", hidden: true, "data-testid": `${testid}-offers` });
    this.#send = h("button", { class: "composer-send", type: "button", "aria-label": "Send", "data-testid": `${testid}-send`, disabled: true, onmousedown: (event) => event.preventDefault(), onclick: () => this.#submit() }, icon("send"));
    parent.append(h("div", { class: "composer" }, this.#list, h("div", { class: "composer-box" }, this.#input, this.#send)));
  }

  /** `where` names the draft; commands are offered only where they work. */
  show(where, placeholder, commands, names) {
    this.#commands = commands;
    this.#names = names;
    if (this.#input.placeholder !== placeholder) {
      this.#input.placeholder = placeholder;
      this.#input.setAttribute("aria-label", placeholder);
    }
    if (where === this.#where) return;
    this.#where = where;
    this.#input.value = drafts.get(where) ?? "";
    this.#changed(false);
  }

  focus() {
    this.#input.focus({ preventScroll: true });
  }

  #changed(offers = true) {
    const text = this.#input.value;
    if (text) drafts.set(this.#where, text);
    else drafts.delete(this.#where);
    this.#send.disabled = !text.trim();
    this.#input.style.height = "auto";
    this.#input.style.height = `${Math.min(this.#input.scrollHeight, 240)}px`;
    this.#offers = offers ? this.#find(text) : [];
    this.#active = 0;
    this.#draw();
  }

  #find(text) {
    if (/^\/\S*$/.test(text)) {
      return this.#commands.filter((each) => each.command.startsWith(text)).map((each) => this.#commandOffer(each, `${each.command} `));
    }
    const used = this.#commands.find((each) => text.startsWith(`${each.command} `));
    const name = NAME.exec(text.slice(0, this.#input.selectionStart));
    if (name) {
      const start = name[2].toLowerCase();
      return this.#names
        .filter((each) => each.handle.toLowerCase().startsWith(start) || each.name.toLowerCase().startsWith(start))
        .slice(0, 8)
        .map((each) => ({ name: `@${each.handle}`, description: each.name, insert: `@${each.handle} `, replaces: name[2].length + 1 }));
    }
    return used ? [this.#commandOffer(used, null)] : [];
  }

  #commandOffer({ command, description, usage_hint: hint }, insert) {
    return { name: command, hint, description, insert, replaces: command.length + 1 };
  }

  #draw() {
    this.#list.hidden = this.#offers.length === 0;
    this.#list.replaceChildren(
      ...this.#offers.map((offer, index) =>
        h(
          "li",
          {
            class: `offer ${offer.insert ? "" : "offer-hint"} ${index === this.#active && offer.insert ? "active" : ""}`,
            role: "option",
            id: `${this.#list.id}-${index}`,
            "aria-selected": String(index === this.#active),
            onmousedown: (event) => event.preventDefault(),
            onclick: () => this.#take(offer),
          },
          h("span", {}, h("strong", {}, offer.name), offer.hint ? h("code", {}, offer.hint) : null),
          offer.description ? h("small", {}, offer.description) : null,
        ),
      ),
    );
    if (this.#offers.length) this.#input.setAttribute("aria-activedescendant", `${this.#list.id}-${this.#active}`);
    else this.#input.removeAttribute("aria-activedescendant");
    this.#list.querySelector(".active")?.scrollIntoView({ block: "nearest" });
  }

  #hide() {
    this.#offers = [];
    this.#draw();
  }

  #take(offer) {
    if (!offer.insert) return;
    if (offer.insert.startsWith("/")) this.#input.value = offer.insert;
    else {
      const caret = this.#input.selectionStart;
      this.#input.setRangeText(offer.insert, caret - offer.replaces, caret, "end");
    }
    this.#input.focus();
    this.#changed();
  }

  #key(event) {
    if (event.isComposing) return;
    const offered = this.#offers.filter((offer) => offer.insert);
    const offer = offered[this.#active];
    const isTyped = offer && this.#input.value.trim() === offer.name;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && offer) {
      this.#active = (this.#active + step + offered.length) % offered.length;
      this.#draw();
    } else if ((event.key === "Tab" && offer) || (event.key === "Enter" && offer && !isTyped && !event.shiftKey)) {
      this.#take(offer);
    } else if (event.key === "Escape" && this.#offers.length) {
      this.#hide();
    } else if (event.key === "Enter" && !event.shiftKey) {
      this.#submit();
    } else {
      return;
    }
    event.preventDefault();
  }

  async #submit() {
    const text = this.#input.value.trim();
    const where = this.#where;
    if (!text) return;
    this.#input.value = "";
    this.#changed();
    if (await this.#onSend(text)) return;
    if (this.#where !== where) drafts.set(where, text);
    else if (!this.#input.value) {
      this.#input.value = text;
      this.#changed(false);
    }
  }
}
