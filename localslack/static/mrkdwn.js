// Slack's mrkdwn and plain_text, read into DOM nodes. Only what Slack would make a link, a mention or a style becomes one;
// everything else stays the text it is.

import { dateToken } from "./dates.js";
import { h } from "./dom.js";
import { SHORTCODE, emoji } from "./emoji.js";

const STYLES = { "*": "strong", _: "em", "~": "s" };
const WORD = /[\p{L}\p{N}]/u;
const BARE_URL = /https?:\/\/[^\s<>|]*[^\s<>|.,;:!?'")\]}*_~]/y;
const TOKEN = /<([^<>\n]+)>/y;
const CODE = /`([^`\n]+)`/y;
const QUOTE = /^(?:>|&gt;)(?!(?:>|&gt;){2}) ?/;
const QUOTE_REST = /^(?:>|&gt;){3} ?/;

export function decode(text) {
  return text.replace(/&(lt|gt|amp);/g, (_, name) => ({ lt: "<", gt: ">", amp: "&" })[name]);
}

/** A link that leads out, or within this page; other schemes stay text. */
export function link(url, label) {
  if (!/^(https?:|mailto:|tel:)/i.test(url)) return h("span", {}, label ?? url);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, label ?? url);
}

export function mention(directory, id) {
  const kind = directory.isMe(id) ? "mention mention-me" : "mention";
  return h("span", { class: kind, "data-user-id": id }, `@${directory.userName(id)}`);
}

export function groupMention(directory, id) {
  const kind = directory.isMe(id) ? "mention mention-me" : "mention";
  return h("span", { class: kind, "data-usergroup-id": id }, `@${directory.groupHandle(id)}`);
}

export function channelLink(directory, id) {
  return h("a", { class: "mention", href: `/?channel=${encodeURIComponent(id)}` }, `#${directory.channelName(id)}`);
}

export function broadcast(range) {
  return h("span", { class: "mention mention-me" }, `@${range}`);
}

/** Nodes for one text object ({type, text, emoji?, verbatim?}). */
export function textObject(object, directory) {
  if (!object) return [];
  if (object.type === "mrkdwn") return mrkdwn(object.text, directory, { verbatim: object.verbatim });
  return plainText(object.text, object.emoji !== false);
}

export function plainText(text, withEmoji = true) {
  const out = new Run();
  for (let at = 0; at < text.length; ) {
    const found = withEmoji && text[at] === ":" && match(SHORTCODE, text, at);
    const drawn = found && emoji(found[1]);
    if (drawn) out.node(drawn);
    else out.text(text[at]);
    at += drawn ? found[0].length : 1;
  }
  return out.nodes();
}

/** Nodes for a mrkdwn text. `verbatim` switches off that bare addresses become links. */
export function mrkdwn(text, directory, { verbatim = false } = {}) {
  const context = { directory, verbatim };
  return text.split(/```/).flatMap((part, index, parts) => {
    if (index % 2 === 0) return lines(index ? part.replace(/^\n/, "") : part, context);
    if (index === parts.length - 1) return lines("```" + part, context);
    return [h("pre", { class: "pre" }, codeText(part.replace(/^\n|\n$/g, ""), directory))];
  });
}

function lines(text, context) {
  const out = [];
  const all = text.split("\n");
  for (let at = 0; at < all.length; ) {
    if (QUOTE_REST.test(all[at])) {
      const rest = all.slice(at).join("\n").replace(QUOTE_REST, "");
      out.push(h("blockquote", {}, inline(rest, context)));
      break;
    }
    let end = at;
    while (end < all.length && QUOTE.test(all[end])) end += 1;
    if (end > at) {
      const quoted = all.slice(at, end).map((line) => line.replace(QUOTE, "")).join("\n");
      out.push(h("blockquote", {}, inline(quoted, context)));
      at = end;
    } else {
      while (end < all.length && !QUOTE.test(all[end]) && !QUOTE_REST.test(all[end])) end += 1;
      out.push(...inline(all.slice(at, end).join("\n"), context));
      at = end;
    }
  }
  return out;
}

function inline(text, context) {
  const out = new Run();
  const dead = {}; // marker -> position up to which a search for its end has already failed
  for (let at = 0; at < text.length; ) {
    const letter = text[at];
    let found;
    if (letter === "<" && (found = match(TOKEN, text, at))) {
      out.node(token(found[1], context) ?? decode(found[0]));
      at += found[0].length;
    } else if (letter === "`" && (found = match(CODE, text, at))) {
      out.node(h("code", {}, codeText(found[1], context.directory)));
      at += found[0].length;
    } else if (letter === ":" && (found = match(SHORTCODE, text, at)) && emoji(found[1])) {
      out.node(emoji(found[1]));
      at += found[0].length;
    } else if (letter === "h" && !context.verbatim && (found = match(BARE_URL, text, at)) && !WORD.test(text[at - 1] ?? "")) {
      out.node(link(decode(found[0])));
      at += found[0].length;
    } else if (STYLES[letter] && !(at < dead[letter]) && opens(text, at)) {
      const end = closing(text, at);
      if (text[end] === letter) {
        out.node(h(STYLES[letter], {}, inline(text.slice(at + 1, end), context)));
        at = end + 1;
      } else {
        dead[letter] = end;
        out.text(letter);
        at += 1;
      }
    } else {
      const entity = letter === "&" && /^&(lt|gt|amp);/.exec(text.slice(at, at + 5));
      out.text(entity ? decode(entity[0]) : letter);
      at += entity ? entity[0].length : 1;
    }
  }
  return out.nodes();
}

function opens(text, at) {
  const before = text[at - 1] ?? " ";
  const after = text[at + 1] ?? " ";
  return !WORD.test(before) && before !== text[at] && !/\s/.test(after) && after !== text[at];
}

/** Where the style that opens at `at` ends; the end of the line when it does not. */
function closing(text, at) {
  let spot = at + 1;
  while (spot < text.length && text[spot] !== "\n") {
    const skipped = match(CODE, text, spot) ?? match(TOKEN, text, spot);
    if (skipped) {
      spot += skipped[0].length;
      continue;
    }
    const ends = text[spot] === text[at] && spot > at + 1 && !/\s/.test(text[spot - 1]);
    if (ends && !WORD.test(text[spot + 1] ?? " ")) return spot;
    spot += 1;
  }
  return spot;
}

/** The node of what stood between < and >, or null when Slack would not understand it. */
function token(inside, { directory }) {
  const bar = inside.indexOf("|");
  const head = bar < 0 ? inside : inside.slice(0, bar);
  const label = bar < 0 ? null : decode(inside.slice(bar + 1));
  if (/^@[UWB]/.test(head)) return mention(directory, head.slice(1));
  if (/^#[CGD]/.test(head)) return channelLink(directory, head.slice(1));
  if (head.startsWith("!subteam^")) return groupMention(directory, head.slice(9));
  if (/^!(here|channel|everyone)$/.test(head)) return broadcast(head.slice(1));
  if (head.startsWith("!date^")) {
    const [, seconds, pattern = "", url] = head.split("^");
    const text = dateToken(seconds, decode(pattern)) ?? label ?? "";
    return url ? link(decode(url), text) : h("time", { title: label ?? text }, text);
  }
  if (/^(https?|mailto|tel):/i.test(head)) return link(decode(head), label ?? decode(head).replace(/^mailto:/, ""));
  return null;
}

/** Inside code nothing is a link or a mention; a token is shown by its words. */
function codeText(text, directory) {
  return text.split(/(<[^<>\n]+>)/).map((part, index) => {
    const node = index % 2 ? token(part.slice(1, -1), { directory }) : null;
    return node ? node.textContent : decode(part);
  });
}

function match(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

class Run {
  #nodes = [];
  #text = "";

  text(part) {
    this.#text += part;
  }

  node(node) {
    this.#flush();
    this.#nodes.push(node);
  }

  nodes() {
    this.#flush();
    return this.#nodes;
  }

  #flush() {
    if (this.#text) this.#nodes.push(document.createTextNode(this.#text));
    this.#text = "";
  }
}
