// The `markdown` block: the part of standard Markdown that Slack shows, read into DOM nodes.

import { h } from "./dom.js";
import { SHORTCODE, emoji } from "./emoji.js";
import { link } from "./mrkdwn.js";

const ITEM = /^(\s*)([-*+]|\d+[.)])\s+(.*)$/;
const RULES = [
  [/\\([\\`*_{}[\]()#+.!|~<>-])/y, (found) => found[1]],
  [/`([^`\n]+)`/y, (found) => h("code", {}, found[1])],
  [/!?\[([^\]\n]*)\]\(([^()\s]+)\)/y, (found) => link(found[2], found[1] || found[2])],
  [/\*\*(?=\S)([^\n]{0,2000}?\S)\*\*/y, (found) => h("strong", {}, inline(found[1]))],
  [/__(?=\S)([^\n]{0,2000}?\S)__/y, (found) => h("strong", {}, inline(found[1]))],
  [/~~(?=\S)([^\n]{0,2000}?\S)~~/y, (found) => h("s", {}, inline(found[1]))],
  [/\*(?=[^\s*])([^*\n]*[^\s*])\*/y, (found) => h("em", {}, inline(found[1]))],
  [/_(?=[^\s_])([^_\n]*[^\s_])_(?!\w)/y, (found) => h("em", {}, inline(found[1]))],
  [/https?:\/\/[^\s<>|]*[^\s<>|.,;:!?'")\]}*_~]/y, (found) => link(found[0])],
  [SHORTCODE, (found) => emoji(found[1])],
];

export function markdown(text) {
  const lines = text.split("\n");
  const out = [];
  for (let at = 0; at < lines.length; ) at = block(lines, at, out);
  return out;
}

/** Reads one block that starts at line `at`; answers the line after it. */
function block(lines, at, out) {
  const line = lines[at];
  const until = (holds, from = at) => {
    let end = from;
    while (end < lines.length && holds(lines[end])) end += 1;
    return end;
  };
  if (!line.trim()) return at + 1;
  const fence = /^\s*(```+|~~~+)/.exec(line);
  if (fence) {
    const end = until((each) => !each.trim().startsWith(fence[1]), at + 1);
    out.push(h("pre", { class: "pre" }, lines.slice(at + 1, end).join("\n")));
    return end + 1;
  }
  const heading = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
  if (heading) {
    out.push(h("p", { class: "md-heading", role: "heading", "aria-level": String(heading[1].length + 2) }, inline(heading[2])));
    return at + 1;
  }
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
    out.push(h("hr"));
    return at + 1;
  }
  if (/^\s*>/.test(line)) {
    const end = until((each) => /^\s*>/.test(each));
    out.push(h("blockquote", {}, markdown(lines.slice(at, end).map((each) => each.replace(/^\s*> ?/, "")).join("\n"))));
    return end;
  }
  if (ITEM.test(line)) {
    const end = until((each) => ITEM.test(each) || /^\s{2,}\S/.test(each));
    out.push(list(lines.slice(at, end)));
    return end;
  }
  const end = until((each) => each.trim() && !/^\s*(```|~~~|>|#{1,6}\s)/.test(each) && !ITEM.test(each), at + 1);
  out.push(h("p", {}, inline(lines.slice(at, end).join("\n"))));
  return end;
}

function list(lines) {
  const indent = ITEM.exec(lines[0])[1].length;
  const ordered = /\d/.test(ITEM.exec(lines[0])[2]);
  const start = ordered ? String(Number.parseInt(ITEM.exec(lines[0])[2], 10)) : null;
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && item[1].length <= indent) items.push([item[3], []]);
    else items.at(-1)[1].push(line);
  }
  return h(
    ordered ? "ol" : "ul",
    { start },
    items.map(([text, below]) => h("li", {}, inline(text), below.length ? markdown(below.join("\n")) : null)),
  );
}

function inline(text) {
  const out = [];
  let plain = "";
  for (let at = 0; at < text.length; ) {
    let node = null;
    for (const [pattern, make] of RULES) {
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      node = found && make(found);
      if (node) {
        out.push(plain, node);
        plain = "";
        at += found[0].length;
        break;
      }
    }
    if (!node) {
      plain += text[at];
      at += 1;
    }
  }
  out.push(plain);
  return out.filter((part) => part !== "");
}
