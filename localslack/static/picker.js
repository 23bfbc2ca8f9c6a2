// The select menus: a combobox that filters as one types, for one choice or several.

import { h, icon } from "./dom.js";

let serial = 0;

/**
 * Choice = {id, label, group?, description?, face?: () => node}.
 * `chosen` is a list of choices; `onChange(list)` answers (a promise of) whether the change stands.
 */
export function picker({ choices, chosen, multi, limit, placeholder, attributes, onChange }) {
  const listId = `choices-${(serial += 1)}`;
  let current = chosen;
  let shown = [];
  let active = -1;

  const input = h("input", {
    ...attributes,
    class: "picker-input",
    type: "text",
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    "aria-expanded": "false",
    "aria-autocomplete": "list",
    "aria-controls": listId,
  });
  const chips = h("span", { class: "picker-chips" });
  const box = h("div", { class: `picker ${multi ? "picker-multi" : ""}` }, chips, input, icon("down"));
  const list = h("ul", { class: "menu", role: "listbox", id: listId, "aria-multiselectable": multi ? "true" : null });

  const isOpen = () => list.isConnected;
  const isChosen = (choice) => current.some((each) => each.id === choice.id);

  function rest() {
    input.value = multi ? "" : (current[0]?.label ?? "");
    input.placeholder = multi && current.length ? "" : placeholder;
    if (!multi) return;
    chips.replaceChildren(
      ...current.map((choice) =>
        h(
          "span",
          { class: "chip" },
          choice.face?.(),
          choice.label,
          h(
            "button",
            { type: "button", class: "chip-remove", "aria-label": `Remove ${choice.label}`, onclick: () => remove(choice) },
            icon("close"),
          ),
        ),
      ),
    );
  }

  async function change(next) {
    const before = current;
    current = next;
    rest();
    if ((await onChange(next)) === false) {
      current = before;
      rest();
    }
  }

  function remove(choice) {
    change(current.filter((each) => each.id !== choice.id));
    input.focus();
  }

  function choose(choice) {
    if (!multi) {
      close();
      change([choice]);
    } else if (isChosen(choice)) {
      remove(choice);
    } else if (!limit || current.length < limit) {
      change([...current, choice]);
      draw("");
    }
  }

  function draw(filter) {
    const words = filter.toLowerCase();
    shown = choices().filter((choice) => choice.label.toLowerCase().includes(words));
    active = shown.length ? Math.max(0, multi ? -1 : shown.findIndex(isChosen)) : -1;
    let group = null;
    list.replaceChildren(
      ...shown.flatMap((choice, index) => {
        const heading = choice.group && choice.group !== group ? h("li", { class: "menu-group", role: "presentation" }, choice.group) : null;
        group = choice.group;
        const option = h(
          "li",
          {
            class: "menu-item",
            role: "option",
            id: `${listId}-${index}`,
            "data-value": choice.id,
            "aria-selected": String(isChosen(choice)),
            onmousedown: (event) => event.preventDefault(),
            onclick: () => choose(choice),
          },
          choice.face?.(),
          h("span", { class: "menu-label" }, choice.label, choice.description ? h("small", {}, choice.description) : null),
        );
        return heading ? [heading, option] : [option];
      }),
      ...(shown.length ? [] : [h("li", { class: "menu-empty" }, "No results")]),
    );
    point();
    place(list, box);
  }

  function point() {
    for (const option of list.querySelectorAll(".menu-item")) option.classList.toggle("active", option.id === `${listId}-${active}`);
    if (active < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", `${listId}-${active}`);
    list.querySelector(".active")?.scrollIntoView({ block: "nearest" });
  }

  function open() {
    if (isOpen()) return;
    document.body.append(list);
    input.setAttribute("aria-expanded", "true");
    box.classList.add("open");
    draw("");
    if (!multi) input.select();
    window.addEventListener("scroll", onScroll, true);
    window.addEventListener("resize", close);
  }

  function onScroll(event) {
    if (event.target !== list) place(list, box);
  }

  function close() {
    if (!isOpen()) return;
    list.remove();
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    box.classList.remove("open");
    window.removeEventListener("scroll", onScroll, true);
    window.removeEventListener("resize", close);
    rest();
  }

  box.addEventListener("mousedown", (event) => {
    if (event.target.closest(".chip-remove") || event.target === input) return;
    event.preventDefault();
    input.focus();
    open();
  });
  input.addEventListener("click", open);
  input.addEventListener("blur", close);
  input.addEventListener("input", () => {
    open();
    draw(input.value);
  });
  input.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (moves) {
      if (!isOpen()) open();
      else if (shown.length) active = (active + moves + shown.length) % shown.length;
      point();
    } else if (event.key === "Enter" && isOpen()) {
      if (shown[active]) choose(shown[active]);
    } else if (event.key === "Escape" && isOpen()) {
      close();
    } else if (event.key === "Backspace" && !input.value && multi && current.length) {
      remove(current.at(-1));
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
  rest();
  return box;
}

/** Puts a menu under its anchor, or above it where there is more room. */
export function place(menu, anchor) {
  const box = anchor.getBoundingClientRect();
  const below = window.innerHeight - box.bottom - 12;
  const above = box.top - 12;
  const up = below < Math.min(menu.scrollHeight, 200) && above > below;
  menu.style.maxHeight = `${Math.max(120, Math.min(320, up ? above : below))}px`;
  menu.style.minWidth = `${box.width}px`;
  menu.style.left = `${Math.max(8, Math.min(box.left, window.innerWidth - menu.offsetWidth - 8))}px`;
  menu.style.top = up ? "auto" : `${box.bottom + 4}px`;
  menu.style.bottom = up ? `${window.innerHeight - box.top + 4}px` : "auto";
}
