// Names and faces: whom and what an id means, as the latest snapshot says.

import { h } from "./dom.js";

const COLOURS = ["#1264a3", "#2b7a4b", "#b2431f", "#7b4bb7", "#a12d5d", "#0b7285", "#8a6100", "#4f5d75", "#c0392b"];

export class Directory {
  constructor(snapshot) {
    this.me = snapshot.me;
    this.users = snapshot.users;
    this.usergroups = snapshot.usergroups ?? [];
    this.channels = snapshot.channels;
    this.currentChannel = snapshot.channel?.id ?? null;
    this.byId = new Map([...this.users, ...this.usergroups, ...this.channels].map((item) => [item.id, item]));
    // Whatever shows a name is drawn again when this text changes.
    this.signature = JSON.stringify([
      this.me?.id,
      this.users.map((user) => [user.id, user.name, user.real_name, user.is_bot, user.deleted]),
      this.usergroups.map((group) => [group.id, group.handle]),
      this.channels.map((channel) => [channel.id, channel.name]),
    ]);
  }

  userName(id) {
    const user = this.byId.get(id);
    return user ? user.real_name || user.name : "unknown user";
  }

  channelName(id) {
    return this.byId.get(id)?.name ?? "unknown-channel";
  }

  groupHandle(id) {
    return this.byId.get(id)?.handle ?? "unknown-group";
  }

  isMe(id) {
    return id === this.me?.id || this.usergroups.some((group) => group.id === id && group.users.includes(this.me?.id));
  }
}

/** A square with the initials of a name, in a colour that belongs to the id. */
export function avatar(id, name, size = "") {
  const words = name.split(/[\s._-]+/u).filter(Boolean);
  const initials = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...(word ?? "")][0] ?? "").join("");
  let hash = 1; // FNV-1a, so that ids that differ in one letter differ in colour
  for (const letter of id) hash = Math.imul(hash ^ letter.codePointAt(0), 16777619) >>> 0;
  return h(
    "span",
    { class: `avatar ${size}`, style: `background:${COLOURS[(hash >>> 8) % COLOURS.length]}`, "aria-hidden": "true" },
    initials.toUpperCase() || "?",
  );
}
