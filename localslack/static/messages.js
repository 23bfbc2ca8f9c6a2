// The message list of a channel or a thread.

import { renderBlocks } from "./blocks.js";
import { clock, dateOf, dayName, fromNow, fullTime } from "./dates.js";
import { avatar } from "./directory.js";
import { fill, h, icon, keyed } from "./dom.js";
import { mrkdwn } from "./mrkdwn.js";
import { addressOf, permalink } from "./address.js";
import { surfaceOf } from "./surface.js";

const SAME_BREATH_S = 300; // messages of one person within five minutes stand under one name
const NEAR_BOTTOM_PX = 60;

/** The message list in `scroller`; stays at the bottom when it was there, and where it was otherwise. */
export class MessageList {
  #scroller;
  #newer;
  #where = null;
  #count = 0;

  constructor(scroller, newer = null) {
    this.#scroller = scroller;
    this.#newer = newer;
    newer?.addEventListener("click", () => this.toBottom());
    scroller.addEventListener("scroll", () => this.#atBottom() && this.#hideNewer());
    // A list that gets shorter (a phone's keyboard, a growing composer) must not hide the last words.
    new ResizeObserver(() => this.#stuck && this.toBottom()).observe(scroller);
  }

  #stuck = true;

  #atBottom() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#stuck = scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM_PX;
    return this.#stuck;
  }

  #hideNewer() {
    if (this.#newer) this.#newer.hidden = true;
  }

  toBottom() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#hideNewer();
  }

  /** Draws `messages`. `context` = {channel, thread: ts or null, directory, act, highlight: ts or null, hint}. */
  show(where, messages, context) {
    const moved = where !== this.#where;
    const wasAtBottom = moved || this.#atBottom();
    const grew = !moved && messages.length > this.#count;
    const last = messages.at(-1);
    this.#where = where;
    this.#count = messages.length;
    keyed(this.#scroller, rows(messages, context), {
      key: (row) => row.key,
      signature: (row) => row.signature,
      create: (row) => row.create(),
      update: (node, row) => row.update(node),
    });
    if (wasAtBottom || (grew && last.user === context.directory.me?.id && !last.ephemeral)) this.toBottom();
    else if (grew && this.#newer) this.#newer.hidden = false;
  }

  /** Brings a message into view; false when it is not here. */
  reveal(ts) {
    const node = this.#scroller.querySelector(`[data-ts="${CSS.escape(ts)}"]`);
    if (!node) return false;
    this.#stuck = false;
    node.scrollIntoView({ block: "center" });
    return true;
  }
}

function rows(messages, context) {
  const out = [];
  let before = null;
  if (!messages.length && !context.thread)
    out.push(fixed("empty", () => h("p", { class: "empty" }, `Nothing here yet. ${context.hint || "Messages of this channel appear here as they are written."}`)));
  messages.forEach((message, index) => {
    const day = dayName(message.ts);
    if (!context.thread && (!before || dayName(before.ts) !== day))
      out.push(fixed(`day ${day}`, () => h("div", { class: "day", role: "separator", "aria-label": day }, h("span", {}, day))));
    const isFollowing = before && follows(before, message) && !(context.thread && index === 1);
    out.push(messageRow(message, Boolean(isFollowing), context));
    if (context.thread && index === 0) out.push(repliesRow(messages.length - 1));
    before = message;
  });
  return out;
}

function follows(before, message) {
  const sameVoice = before.user === message.user && before.bot_name === message.bot_name && !before.ephemeral && !message.ephemeral;
  const sameDay = dayName(before.ts) === dayName(message.ts);
  return sameVoice && sameDay && dateOf(message.ts) - dateOf(before.ts) < SAME_BREATH_S * 1000;
}

function fixed(key, create) {
  return { key, signature: key, create, update: () => {} };
}

function repliesRow(count) {
  const text = count === 1 ? "1 reply" : `${count} replies`;
  return {
    key: "replies",
    signature: text,
    create: () => h("div", { class: "day replies", role: "separator" }, h("span", {}, text)),
    update: (node) => (node.firstElementChild.textContent = text),
  };
}

function messageRow(message, isFollowing, context) {
  const isLit = context.highlight === message.ts;
  const row = {
    key: `${message.ts}${message.ephemeral ? " ephemeral" : ""}`,
    signature: JSON.stringify([message, isFollowing, isLit, context.directory.signature]),
    create: () => {
      const node = h(
        "article",
        { class: "message", "data-testid": "message", "data-ts": message.ts, tabindex: "-1" },
        h("div", { class: "message-side" }),
        h(
          "div",
          { class: "message-main" },
          h("div", { class: "message-head" }),
          h("div", { class: "message-body", "data-testid": "message-body" }),
          h("div", { class: "message-files" }),
          h("div", { class: "message-foot" }),
        ),
        h("div", { class: "message-tools" }),
      );
      row.update(node);
      return node;
    },
    update: (node) => {
      node.classList.toggle("message-following", isFollowing);
      node.classList.toggle("message-ephemeral", message.ephemeral);
      node.classList.toggle("message-lit", isLit);
      drawMessage(node, message, isFollowing, context);
    },
  };
  return row;
}

function drawMessage(node, message, isFollowing, context) {
  const { directory } = context;
  const [side, main, tools] = node.children;
  const [head, body, files, foot] = main.children;
  const user = directory.byId.get(message.user);
  const name = message.bot_name || directory.userName(message.user);
  const isApp = Boolean(message.bot_name) || Boolean(user?.is_bot);
  node.setAttribute("aria-label", `${name}, ${clock(message.ts)}`);
  const time = () =>
    h("a", { class: "time", href: permalink(context.channel, message), title: fullTime(message.ts) }, clock(message.ts));
  fill(side, JSON.stringify([name, message.user, isFollowing]), () => (isFollowing ? time() : avatar(message.user ?? name, name)));
  fill(head, JSON.stringify([name, isApp, isFollowing, message.ephemeral]), () => [
    message.ephemeral ? h("div", { class: "ephemeral-mark" }, icon("eye"), "Only visible to you") : null,
    isFollowing ? null : h("span", { class: "name" }, name),
    isApp && !isFollowing ? h("span", { class: "badge" }, "APP") : null,
    isFollowing ? null : time(),
  ]);
  drawBody(body, message, context);
  fill(files, JSON.stringify(message.files ?? []), () => (message.files ?? []).map(fileCard));
  fill(foot, JSON.stringify([message.reply_count, message.latest_reply, message.edited, context.thread]), () => [
    message.edited ? h("span", { class: "edited" }, "(edited)") : null,
    context.thread || !message.reply_count ? null : replyLink(message, context),
  ]);
  fill(tools, JSON.stringify([message.ephemeral, context.thread, context.channel]), () => messageTools(message, context));
}

function drawBody(body, message, context) {
  if (message.blocks?.length) {
    const key = `${context.channel}/${message.ts}/${context.directory.me?.id}`;
    const surface = surfaceOf(key, { channel: context.channel, message_ts: message.ts }, context.act, message.blocks);
    renderBlocks(body, message.blocks, { surface, directory: context.directory });
  } else {
    body.replaceChildren(h("div", { class: "text" }, mrkdwn(message.text ?? "", context.directory)));
  }
}

function threadAddress(message, context) {
  return addressOf({ user: context.directory.me?.id, channel: context.channel, thread: message.thread_ts ?? message.ts });
}

function replyLink(message, context) {
  const count = message.reply_count === 1 ? "1 reply" : `${message.reply_count} replies`;
  return h(
    "a",
    { class: "reply-link", href: threadAddress(message, context), "data-testid": "reply-link" },
    icon("thread"),
    h("strong", {}, count),
    message.latest_reply ? h("span", {}, `Last reply ${fromNow(message.latest_reply)}`) : null,
  );
}

function messageTools(message, context) {
  const copy = () => navigator.clipboard?.writeText(permalink(context.channel, message));
  return [
    context.thread || message.ephemeral
      ? null
      : h("a", { class: "icon-button", href: threadAddress(message, context), "aria-label": "Reply in thread", title: "Reply in thread", "data-testid": "reply" }, icon("thread")),
    message.ephemeral
      ? null
      : h("button", { class: "icon-button", type: "button", "aria-label": "Copy link", title: "Copy link", onclick: copy }, icon("link")),
  ];
}

function size(bytes) {
  if (bytes === undefined) return "";
  if (bytes < 1024) return `${bytes} bytes`;
  return bytes < 1024 * 1024 ? `${Math.round(bytes / 102.4) / 10} kB` : `${Math.round(bytes / 104857.6) / 10} MB`;
}

/** The part of a file's address that leads to this server, whatever host the app was told. */
function localUrl(file) {
  if (!file.url) return null;
  const url = new URL(file.url, location.href);
  return url.pathname.startsWith("/files/") ? url.pathname + url.search : null;
}

function fileCard(file) {
  const name = file.title || file.name || file.id;
  const url = localUrl(file);
  const open = url
    ? h("a", { class: "file-name", href: url, target: "_blank", rel: "noopener noreferrer" }, name)
    : h("span", { class: "file-name" }, name);
  const isCut = file.preview && file.size > new Blob([file.preview]).size;
  return h(
    "div",
    { class: "file", "data-testid": "file", "data-file-id": file.id },
    h("div", { class: "file-head" }, h("span", { class: "file-icon" }, icon("file")), h("div", { class: "file-title" }, open, h("small", {}, [file.name, size(file.size)].filter(Boolean).join(" · ")))),
    file.preview
      ? h(
          "details",
          { class: "file-preview" },
          h("summary", {}, "Preview"),
          h("pre", { class: "pre", tabindex: "0" }, file.preview),
          isCut && url ? h("p", { class: "file-cut" }, "This is the beginning. ", h("a", { href: url, target: "_blank" }, "Open the whole file")) : null,
        )
      : null,
  );
}
