// Checks that Slack's own client makes before it asks the app.

import { blockId } from "./surface.js";

const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;
const TEXT_LIMIT = 3000;

export function textLimit(element) {
  return element.max_length ?? TEXT_LIMIT;
}

/** {block_id: sentence} for the inputs of a view that cannot be submitted as they are. */
export function problems(blocks, surface) {
  const found = {};
  blocks.forEach((block, index) => {
    if (block.type !== "input") return;
    const id = blockId(block, index);
    const value = surface.read(id, block.element);
    const problem = isEmpty(value) ? (block.optional ? null : "Please complete this required field.") : check(block.element, value);
    if (problem) found[id] = problem;
  });
  return found;
}

function isEmpty(value) {
  return value === null || (typeof value !== "number" && value.length === 0);
}

function check(element, value) {
  switch (element.type) {
    case "plain_text_input":
      return checkLength(element, value);
    case "number_input":
      return checkNumber(element, value);
    case "email_text_input":
      return EMAIL.test(value) ? null : "Please enter a valid email address.";
    case "url_text_input":
      return URL.canParse(value) ? null : "Please enter a valid URL.";
    default:
      return null;
  }
}

function checkLength(element, value) {
  if (element.min_length && value.length < element.min_length)
    return `Please enter at least ${element.min_length} characters.`;
  if (value.length > textLimit(element)) return `Please enter no more than ${textLimit(element)} characters.`;
  return null;
}

function checkNumber(element, value) {
  const number = Number(value);
  if (!Number.isFinite(number)) return "Please enter a number.";
  if (!element.is_decimal_allowed && !Number.isInteger(number)) return "Please enter a whole number.";
  if (element.min_value !== undefined && number < Number(element.min_value))
    return `Please enter a number that is at least ${element.min_value}.`;
  if (element.max_value !== undefined && number > Number(element.max_value))
    return `Please enter a number that is at most ${element.max_value}.`;
  return null;
}
