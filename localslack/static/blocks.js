// Block Kit: a list of blocks into a container that is drawn again block by block, so that a block that stayed the same
// keeps what was typed into it.

import { h, icon, keyed } from "./dom.js";
import { renderElement } from "./elements.js";
import { markdown } from "./markdown.js";
import { plainText, textObject } from "./mrkdwn.js";
import { richText } from "./richtext.js";
import { blockId } from "./surface.js";

let serial = 0;

const BLOCKS = {
  section: (block, at) =>
    h(
      "div",
      { class: "section" },
      h(
        "div",
        { class: "section-main" },
        block.text ? h("div", { class: "text" }, textObject(block.text, at.directory)) : null,
        block.fields
          ? h("div", { class: "fields" }, block.fields.map((each) => h("div", { class: "text" }, textObject(each, at.directory))))
          : null,
      ),
      block.accessory ? h("div", { class: "accessory" }, contextElement(block.accessory, at) ?? renderElement(block.accessory, at)) : null,
    ),
  header: (block, at) => h("div", { class: "header-block", role: "heading", "aria-level": "3" }, textObject(block.text, at.directory)),
  divider: () => h("hr"),
  context: (block, at) =>
    h("div", { class: "context" }, block.elements.map((each) => contextElement(each, at) ?? renderElement(each, at))),
  actions: (block, at) => h("div", { class: "actions", role: "group" }, block.elements.map((each) => renderElement(each, at))),
  input: inputBlock,
  rich_text: (block, at) => h("div", { class: "text rich-text" }, richText(block, at.directory)),
  markdown: (block) => h("div", { class: "text markdown" }, markdown(block.text)),
  task_card: (block, at) => task(block, at),
  plan: (block, at) =>
    h("div", { class: "text plan" }, h("div", { class: "plan-title" }, h("strong", {}, block.title)), (block.tasks ?? []).map((each) => task(each, at))),
  image: (block) => image(block),
};

const TASK_SIGNS = { pending: "○", in_progress: "◔", complete: "✓", error: "✕" };

function task(card, at) {
  const details = [card.details, card.output].filter(Boolean).map((part) => richText(part, at.directory));
  return h("div", { class: `task ${card.status ?? "pending"}` }, `${TASK_SIGNS[card.status] ?? "○"} ${card.title}`, ...details);
}

function contextElement(element, at) {
  if (element.type === "image") return image(element);
  if (element.type === "mrkdwn" || element.type === "plain_text") return h("span", { class: "text" }, textObject(element, at.directory));
  return null;
}

/** Images of apps are not fetched: the page stays on this machine. Their alternative text is what is shown. */
function image(element) {
  const title = element.title ? h("span", { class: "image-title" }, plainText(element.title.text)) : null;
  return h("span", { class: "image", role: "img", "aria-label": element.alt_text }, icon("image"), title, element.alt_text);
}

function inputBlock(block, at) {
  const name = `input-${(serial += 1)}`;
  const element = { ...block.element };
  const described = { label: `${name}-label`, describedBy: `${name}-hint ${name}-error`, tells: Boolean(block.dispatch_action) };
  return h(
    "div",
    { class: "input-block" },
    h(
      "div",
      { class: "input-label", id: `${name}-label` },
      textObject(block.label, at.directory),
      block.optional ? h("span", { class: "optional" }, " (optional)") : null,
    ),
    renderElement(element, { ...at, ...described }),
    h("div", { class: "input-error", id: `${name}-error`, role: "alert", "data-testid": "input-error" }),
    h("div", { class: "input-hint", id: `${name}-hint` }, block.hint ? textObject(block.hint, at.directory) : null),
  );
}

/** Draws `blocks` into `container`. `context` = {surface, directory}. */
export function renderBlocks(container, blocks, context) {
  const items = blocks.map((block, index) => ({ block, id: blockId(block, index) }));
  keyed(container, items, {
    key: ({ id }) => id,
    signature: ({ block }) => JSON.stringify(block) + context.directory.signature,
    create: ({ block, id }) => {
      const make = BLOCKS[block.type];
      const at = { ...context, block: id, tells: true };
      const node = make ? make(block, at) : h("div", { class: "unknown" }, `[A ${block.type} block is not shown here]`);
      return h("div", { class: "block", "data-block-id": id, "data-block-type": block.type }, node);
    },
  });
}

/** Puts each error under its input and takes the others away; answers the first block that has one. */
export function showErrors(container, errors) {
  let first = null;
  for (const block of container.children) {
    const spot = block.querySelector(".input-error");
    if (!spot) continue;
    const text = errors?.[block.dataset.blockId] ?? "";
    if (spot.textContent !== text) spot.textContent = text;
    block.classList.toggle("has-error", text !== "");
    for (const input of block.querySelectorAll("input, textarea")) input.setAttribute("aria-invalid", String(text !== ""));
    if (text) first ??= block;
  }
  return first;
}
