// A small table of emoji shortcodes; an unknown one stays as it was typed, as in Slack.

import { h } from "./dom.js";

const TABLE = `
white_check_mark ✅|heavy_check_mark ✔️|ballot_box_with_check ☑️|x ❌|no_entry ⛔|no_entry_sign 🚫|negative_squared_cross_mark ❎
warning ⚠️|rotating_light 🚨|bangbang ‼️|exclamation ❗|question ❓|grey_question ❔|information_source ℹ️|stop_sign 🛑|octagonal_sign 🛑
hourglass ⌛|hourglass_flowing_sand ⏳|alarm_clock ⏰|stopwatch ⏱️|timer_clock ⏲️|clock1 🕐|clock3 🕒|clock9 🕘|calendar 📆|date 📅
robot_face 🤖|brain 🧠|gear ⚙️|hammer 🔨|wrench 🔧|hammer_and_wrench 🛠️|toolbox 🧰|computer 💻|keyboard ⌨️|package 📦|floppy_disk 💾
email 📧|envelope ✉️|e-mail 📧|incoming_envelope 📨|mailbox 📫|outbox_tray 📤|inbox_tray 📥|memo 📝|pencil 📝|pencil2 ✏️|page_facing_up 📄
clipboard 📋|paperclip 📎|link 🔗|lock 🔒|unlock 🔓|key 🔑|shield 🛡️|mag 🔍|bell 🔔|no_bell 🔕|speech_balloon 💬|thought_balloon 💭
thread 🧵|eyes 👀|wave 👋|+1 👍|thumbsup 👍|-1 👎|thumbsdown 👎|ok_hand 👌|clap 👏|pray 🙏|raised_hand ✋|hand ✋|point_right 👉|point_left 👈
point_up ☝️|point_down 👇|muscle 💪|raised_hands 🙌|handshake 🤝|writing_hand ✍️|smile 😄|grin 😁|joy 😂|wink 😉|thinking_face 🤔|sweat_smile 😅
sob 😭|slightly_smiling_face 🙂|upside_down_face 🙃|neutral_face 😐|sunglasses 😎|heart ❤️|tada 🎉|sparkles ✨|star ⭐|fire 🔥|rocket 🚀|zap ⚡|bulb 💡
boom 💥|bug 🐛|skull 💀|ghost 👻|coffee ☕|pizza 🍕|moneybag 💰|dollar 💵|chart_with_upwards_trend 📈|bar_chart 📊|zzz 💤|recycle ♻️
checkered_flag 🏁|leftwards_arrow_with_hook ↩️|arrow_right_hook ↪️|repeat 🔁|arrows_counterclockwise 🔄|arrow_right ➡️|arrow_left ⬅️|arrow_up ⬆️|arrow_down ⬇️|arrow_forward ▶️|double_vertical_bar ⏸️|black_square_for_stop ⏹️
red_circle 🔴|large_orange_circle 🟠|large_yellow_circle 🟡|large_green_circle 🟢|large_blue_circle 🔵|white_circle ⚪|black_circle ⚫
large_green_square 🟩|large_red_square 🟥|large_yellow_square 🟨|bust_in_silhouette 👤|busts_in_silhouette 👥|house 🏠|globe_with_meridians 🌐|100 💯|one 1️⃣|two 2️⃣|three 3️⃣
`;

const EMOJI = new Map(TABLE.trim().split(/[|\n]/).map((entry) => entry.split(" ")));

export const SHORTCODE = /:([a-z0-9_+-]+):/y;

/** A span with the emoji, or null when the shortcode is not in the table. */
export function emoji(name, unicode) {
  const drawn = unicode ? fromHex(unicode) : EMOJI.get(name);
  return drawn ? h("span", { class: "emoji", role: "img", "aria-label": name, title: `:${name}:` }, drawn) : null;
}

/** The text with known shortcodes replaced, for places that take no nodes (placeholders, option texts). */
export function withEmoji(text) {
  return text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => EMOJI.get(name) ?? whole);
}

function fromHex(unicode) {
  const points = unicode.split("-").map((part) => Number.parseInt(part, 16));
  return points.every((point) => point > 0 && point <= 0x10ffff) ? String.fromCodePoint(...points) : null;
}
