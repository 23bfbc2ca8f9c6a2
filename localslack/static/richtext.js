// The `rich_text` block: what people's composers and careful apps write. Nothing in it is parsed; its parts are named.

import { dateToken } from "./dates.js";
import { h } from "./dom.js";
import { emoji } from "./emoji.js";
import { broadcast, channelLink, groupMention, link, mention } from "./mrkdwn.js";

const STYLES = [["code", "code"], ["strike", "s"], ["italic", "em"], ["bold", "strong"]];

const PARTS = {
  text: (part) => part.text,
  link: (part) => link(part.url, part.text),
  user: (part, directory) => mention(directory, part.user_id),
  usergroup: (part, directory) => groupMention(directory, part.usergroup_id),
  channel: (part, directory) => channelLink(directory, part.channel_id),
  broadcast: (part) => broadcast(part.range),
  emoji: (part) => emoji(part.name, part.unicode) ?? `:${part.name}:`,
  color: (part) => part.value,
  date: (part) => {
    const text = dateToken(part.timestamp, part.format) ?? part.fallback ?? "";
    return part.url ? link(part.url, text) : h("time", { title: part.fallback ?? text }, text);
  },
};

const ELEMENTS = {
  rich_text_section: (element, directory) => h("div", { class: "rt-section" }, parts(element, directory)),
  rich_text_preformatted: (element, directory) =>
    h("pre", { class: "pre" }, element.elements.map((part) => part.text ?? part.url ?? inlinePart(part, directory))),
  rich_text_quote: (element, directory) => h("blockquote", {}, parts(element, directory)),
  rich_text_list: (element, directory) =>
    h(
      element.style === "ordered" ? "ol" : "ul",
      {
        class: `rt-list ${element.border ? "rt-border" : ""}`,
        style: `--indent:${Number(element.indent) || 0}`,
        start: element.offset ? String(Number(element.offset) + 1) : null,
      },
      element.elements.map((item) => h("li", {}, (ELEMENTS[item.type] ?? unknown)(item, directory))),
    ),
};

export function richText(block, directory) {
  return block.elements.map((element) => (ELEMENTS[element.type] ?? unknown)(element, directory));
}

function parts(element, directory) {
  return element.elements.map((part) => inlinePart(part, directory));
}

function inlinePart(part, directory) {
  const made = PARTS[part.type];
  if (!made) return unknown(part);
  return STYLES.reduce((node, [name, tag]) => (part.style?.[name] ? h(tag, {}, node) : node), made(part, directory));
}

function unknown(part) {
  return h("span", { class: "unknown" }, `[${part.type} is not shown here]`);
}
