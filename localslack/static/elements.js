// The interactive elements: buttons, menus, inputs. Each is one function (element, at) -> node, where
// at = {block: block id, surface, directory, tells: whether a change is told to the app at once, label}.

import { avatar } from "./directory.js";
import { h, icon } from "./dom.js";
import { withEmoji } from "./emoji.js";
import { textObject } from "./mrkdwn.js";
import { picker, place } from "./picker.js";
import { placeOfLink } from "./address.js";

const TEXT_LIMIT = 3000;
const LOWEST_COUNTER = 100; // from so many characters left on, the input counts them

function hooks(element, at) {
  return { "data-action-id": element.action_id, "data-block-id": at.block };
}

/** Attributes of what a person types or chooses in: the hooks, its name and its place for an error. */
function field(element, at) {
  const name = at.label ? { "aria-labelledby": at.label } : { "aria-label": element.placeholder?.text ?? element.action_id };
  return { ...hooks(element, at), ...name, "aria-describedby": at.describedBy };
}

function placeholder(element, otherwise = "") {
  return withEmoji(element.placeholder?.text ?? otherwise);
}

function button(element, at) {
  const style = { primary: "button-primary", danger: "button-danger" }[element.style] ?? "";
  const attributes = {
    ...hooks(element, at),
    class: `button ${style}`,
    "aria-label": element.accessibility_label,
    "data-testid": "button",
  };
  const press = async (node) => {
    node.setAttribute("aria-busy", "true");
    await at.surface.press(at.block, element, { value: element.value });
    node.removeAttribute("aria-busy");
  };
  const label = textObject(element.text, at.directory);
  if (!element.url) {
    return h("button", { ...attributes, type: "button", onclick: (event) => press(event.currentTarget) }, label);
  }
  const outside = placeOfLink(element.url) === null;
  return h(
    "a",
    {
      ...attributes,
      href: /^https?:/i.test(element.url) ? element.url : null,
      target: outside ? "_blank" : null,
      rel: "noopener noreferrer",
      onclick: (event) => press(event.currentTarget),
    },
    label,
  );
}

function overflow(element, at) {
  const menu = h(
    "ul",
    { class: "menu", role: "menu" },
    element.options.map((option) =>
      h("li", { role: "none" }, h("button", {
        class: "menu-item",
        type: "button",
        role: "menuitem",
        "data-value": option.value,
        onclick: () => {
          close();
          at.surface.press(at.block, element, { selected: { selected_option: option } });
        },
      }, textObject(option.text, at.directory))),
    ),
  );
  const opener = h("button", {
    ...hooks(element, at),
    class: "button button-more",
    type: "button",
    "aria-haspopup": "menu",
    "aria-expanded": "false",
    "aria-label": "More actions",
    onclick: () => (menu.isConnected ? close() : open()),
  }, icon("more"));
  const items = () => [...menu.querySelectorAll("button")];
  function open() {
    // Inside the dialog of its button, so that a modal's inertness does not cover the menu.
    (opener.closest(".layer") ?? document.body).append(menu);
    opener.setAttribute("aria-expanded", "true");
    place(menu, opener);
    items()[0]?.focus();
  }
  function close() {
    opener.focus(); // before the menu goes, so that it does not also close because it lost the focus
    menu.remove();
    opener.setAttribute("aria-expanded", "false");
  }
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget === opener || menu.contains(event.relatedTarget)) return;
    menu.remove();
    opener.setAttribute("aria-expanded", "false");
  });
  menu.addEventListener("keydown", (event) => {
    const all = items();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    else if (step) all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
    else return;
    event.preventDefault();
  });
  return opener;
}

function select(choices, { multi = false, toValue, toChosen }) {
  return (element, at) =>
    picker({
      choices: () => choices(element, at),
      chosen: [at.surface.read(at.block, element) ?? []].flat().map((value) => toChosen(value, at)),
      multi,
      limit: element.max_selected_items,
      placeholder: placeholder(element, "Select an item"),
      attributes: field(element, at),
      onChange: (list) => {
        const values = list.map(toValue);
        return at.surface.choose(at.block, element, multi ? values : (values[0] ?? null), at.tells);
      },
    });
}

function optionChoice(option, group) {
  return {
    id: option.value,
    label: withEmoji(option.text.text),
    description: option.description && withEmoji(option.description.text),
    group: group && withEmoji(group.label.text),
    raw: option,
  };
}

function optionsOf(element) {
  if (element.option_groups) return element.option_groups.flatMap((group) => group.options.map((each) => optionChoice(each, group)));
  return (element.options ?? []).map((option) => optionChoice(option));
}

function userChoice(id, at) {
  const name = at.directory.userName(id);
  return { id, label: name, face: () => avatar(id, name, "avatar-tiny") };
}

function usersOf(_element, at) {
  return at.directory.users.filter((user) => !user.deleted && !user.is_bot).map((user) => userChoice(user.id, at));
}

function isDirect(id) {
  return id.startsWith("D");
}

function channelChoice(id, at) {
  return { id, label: (isDirect(id) ? "" : "#") + at.directory.channelName(id) };
}

function channelsOf(element, at) {
  const kinds = element.filter?.include ?? (element.type.includes("channels") ? ["public"] : ["public", "private"]);
  return at.directory.channels
    .filter((channel) => kinds.includes(isDirect(channel.id) ? "im" : channel.is_private ? "private" : "public"))
    .map((channel) => channelChoice(channel.id, at));
}

const OPTION = { toValue: (choice) => choice.raw, toChosen: (option) => optionChoice(option) };
const USER = { toValue: (choice) => choice.id, toChosen: userChoice };
const CHANNEL = { toValue: (choice) => choice.id, toChosen: channelChoice };

function conversations(choices, shape) {
  const made = select(choices, shape);
  return (element, at) => {
    const current = at.surface.channel ?? at.directory.currentChannel;
    const unset = [at.surface.read(at.block, element) ?? []].flat().length === 0;
    if (element.default_to_current_conversation && unset && current)
      at.surface.write(at.block, element, shape.multi ? [current] : current);
    return made(element, at);
  };
}

function choiceList(kind) {
  return (element, at) => {
    const name = `${at.block}/${element.action_id}`;
    const chosen = [at.surface.read(at.block, element) ?? []].flat().map((option) => option.value);
    const box = h("div", { ...hooks(element, at), class: "choices", role: kind === "radio" ? "radiogroup" : "group", "aria-labelledby": at.label });
    const changed = async () => {
      const ticked = [...box.querySelectorAll("input")].flatMap((input, index) => (input.checked ? [element.options[index]] : []));
      const stands = await at.surface.choose(at.block, element, kind === "radio" ? (ticked[0] ?? null) : ticked, at.tells);
      if (stands) return;
      const before = [at.surface.read(at.block, element) ?? []].flat().map((option) => option.value);
      for (const input of box.querySelectorAll("input")) input.checked = before.includes(input.value);
    };
    box.append(
      ...element.options.map((option) =>
        h(
          "label",
          { class: "choice" },
          h("input", { type: kind, name, value: option.value, checked: chosen.includes(option.value), onchange: changed }),
          h(
            "span",
            {},
            textObject(option.text, at.directory),
            option.description ? h("small", {}, textObject(option.description, at.directory)) : null,
          ),
        ),
      ),
    );
    return box;
  };
}

function textInput(element, at) {
  const triggers = element.dispatch_action_config?.trigger_actions_on ?? ["on_enter_pressed"];
  const counter = h("span", { class: "counter", "aria-live": "polite" });
  const input = h(element.multiline ? "textarea" : "input", {
    ...field(element, at),
    class: "field",
    rows: element.multiline ? "5" : null,
    type: element.multiline ? null : ({ email_text_input: "email", url_text_input: "url" }[element.type] ?? "text"),
    inputmode: element.type === "number_input" ? (element.is_decimal_allowed ? "decimal" : "numeric") : null,
    "data-autofocus": element.focus_on_load ? true : null,
    placeholder: placeholder(element),
    value: at.surface.read(at.block, element) ?? "",
    autocomplete: "off",
  });
  const count = () => {
    const left = (element.max_length ?? TEXT_LIMIT) - input.value.length;
    counter.textContent = left <= LOWEST_COUNTER && input.value ? String(left) : "";
    counter.classList.toggle("counter-over", left < 0);
  };
  input.addEventListener("input", () => {
    const value = input.value || null;
    if (at.tells && triggers.includes("on_character_entered")) at.surface.choose(at.block, element, value, true);
    else at.surface.write(at.block, element, value);
    count();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.shiftKey || !at.tells || !triggers.includes("on_enter_pressed")) return;
    event.preventDefault();
    at.surface.choose(at.block, element, input.value || null, true);
  });
  count();
  return h("div", { class: "field-box" }, input, counter);
}

/** Native inputs of the browser; `toValue` and `toText` turn its text into Slack's value and back. */
function nativeInput(type, toValue = (text) => text, toText = (value) => value) {
  return (element, at) => {
    const value = at.surface.read(at.block, element);
    return h("input", {
      ...field(element, at),
      class: "field field-native",
      type,
      value: value === null ? "" : toText(value),
      onchange: (event) => at.surface.choose(at.block, element, event.target.value ? toValue(event.target.value) : null, at.tells),
    });
  };
}

function localMinute(seconds) {
  const date = new Date(seconds * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const ELEMENTS = {
  button,
  overflow,
  static_select: select(optionsOf, OPTION),
  multi_static_select: select(optionsOf, { ...OPTION, multi: true }),
  users_select: select(usersOf, USER),
  multi_users_select: select(usersOf, { ...USER, multi: true }),
  conversations_select: conversations(channelsOf, CHANNEL),
  multi_conversations_select: conversations(channelsOf, { ...CHANNEL, multi: true }),
  channels_select: select(channelsOf, CHANNEL),
  multi_channels_select: select(channelsOf, { ...CHANNEL, multi: true }),
  checkboxes: choiceList("checkbox"),
  radio_buttons: choiceList("radio"),
  plain_text_input: textInput,
  number_input: textInput,
  email_text_input: textInput,
  url_text_input: textInput,
  datepicker: nativeInput("date"),
  timepicker: nativeInput("time"),
  datetimepicker: nativeInput("datetime-local", (text) => Math.floor(new Date(text).getTime() / 1000), localMinute),
};

export function renderElement(element, at) {
  const make = ELEMENTS[element.type];
  return make ? make(element, at) : h("span", { class: "unknown" }, `[${element.type} is not shown here]`);
}
