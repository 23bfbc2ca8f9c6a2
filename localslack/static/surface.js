// One message, modal or Home: holds what was entered into its inputs, in Slack's shapes, and sends what is clicked in it.

import { confirmed } from "./confirm.js";

// element type -> [field of its value, field of its initial value, value when empty]
const SHAPES = {
  plain_text_input: ["value", "initial_value", null],
  number_input: ["value", "initial_value", null],
  email_text_input: ["value", "initial_value", null],
  url_text_input: ["value", "initial_value", null],
  static_select: ["selected_option", "initial_option", null],
  multi_static_select: ["selected_options", "initial_options", []],
  users_select: ["selected_user", "initial_user", null],
  multi_users_select: ["selected_users", "initial_users", []],
  conversations_select: ["selected_conversation", "initial_conversation", null],
  multi_conversations_select: ["selected_conversations", "initial_conversations", []],
  channels_select: ["selected_channel", "initial_channel", null],
  multi_channels_select: ["selected_channels", "initial_channels", []],
  checkboxes: ["selected_options", "initial_options", []],
  radio_buttons: ["selected_option", "initial_option", null],
  datepicker: ["selected_date", "initial_date", null],
  timepicker: ["selected_time", "initial_time", null],
  datetimepicker: ["selected_date_time", "initial_date_time", null],
};

/** The id of a block; only a block that nobody named gets its position instead. */
export function blockId(block, index) {
  return block.block_id || `#${index}`;
}

/** The elements of a block that a person can use. */
function elementsOf(block) {
  return [...(block.type === "input" ? [block.element] : []), ...(block.type === "actions" ? block.elements : []), block.accessory]
    .filter(Boolean);
}

export class Surface {
  #where;
  #act;
  #blocks = [];
  #entered = new Map(); // "block/action" -> value

  /** `where` is {channel, message_ts} or {view_id}; `act` sends an act and shows why if it fails. */
  constructor(where, act) {
    this.#where = { channel: null, message_ts: null, view_id: null, ...where };
    this.#act = act;
  }

  get channel() {
    return this.#where.channel;
  }

  /** Takes the blocks that are shown now. `seed` are values that the server already knows (after a reload). */
  show(blocks, seed) {
    this.#blocks = blocks;
    for (const [block, actions] of Object.entries(seed ?? {}))
      for (const [action, state] of Object.entries(actions)) {
        const value = SHAPES[state.type] && state[SHAPES[state.type][0]];
        if (value !== undefined && value !== null) this.#entered.set(`${block}/${action}`, value);
      }
  }

  read(block, element) {
    const [, initial, empty] = SHAPES[element.type];
    const entered = this.#entered.get(`${block}/${element.action_id}`);
    return entered !== undefined ? entered : (element[initial] ?? empty);
  }

  /** Keeps what was entered, without telling the app. */
  write(block, element, value) {
    this.#entered.set(`${block}/${element.action_id}`, value);
  }

  /** Keeps what was chosen and, where Slack would, tells the app; false when the person said no to its `confirm`. */
  async choose(block, element, value, tells) {
    if (tells && !(await confirmed(element.confirm))) return false;
    this.write(block, element, value);
    if (tells) this.#send(block, element, this.#valueOf(element, value));
    return true;
  }

  /** A press on a button, or a choice that is not kept (overflow). */
  async press(block, element, payload) {
    if (!(await confirmed(element.confirm))) return;
    await this.#send(block, element, payload);
  }

  state() {
    const values = {};
    this.#blocks.forEach((block, index) => {
      for (const element of elementsOf(block)) {
        if (!SHAPES[element.type]) continue;
        const id = blockId(block, index);
        values[id] ??= {};
        values[id][element.action_id] = { type: element.type, [SHAPES[element.type][0]]: this.read(id, element) };
      }
    });
    return { values };
  }

  #valueOf(element, value) {
    const field = SHAPES[element.type][0];
    return field === "value" ? { value } : { selected: { [field]: value } };
  }

  #send(block, element, payload) {
    const where = { ...this.#where, block_id: block, action_id: element.action_id };
    return this.#act({ do: "click", ...where, ...payload, state: this.state() });
  }
}

const surfaces = new Map();

/** The one surface of a message or view, made when it is first seen. */
export function surfaceOf(key, where, act, blocks, seed) {
  let surface = surfaces.get(key);
  const isNew = !surface;
  if (isNew) surfaces.set(key, (surface = new Surface(where, act)));
  surface.show(blocks, isNew ? seed : null);
  return surface;
}
