// The sidebar: who I am, where I can go, what is unread. On a phone it is a drawer.

import { avatar } from "./directory.js";
import { fill, h, icon, keyed } from "./dom.js";
import { addressOf } from "./address.js";

const $ = (id) => document.getElementById(id);

export function setUpSidebar(onSwitch) {
  $("drawer-open").append(icon("menu"));
  $("drawer-open").addEventListener("click", () => openDrawer(true));
  $("drawer-shade").addEventListener("click", () => openDrawer(false));
  $("sidebar").addEventListener("keydown", (event) => event.key === "Escape" && openDrawer(false));
  $("switcher").addEventListener("change", (event) => {
    openDrawer(false);
    onSwitch(event.target.value);
  });
  narrow.addEventListener("change", () => openDrawer(false));
  openDrawer(false);
}

const narrow = window.matchMedia("(max-width: 760px)");

export function openDrawer(open) {
  const wasOpen = document.body.classList.contains("drawer-is-open");
  document.body.classList.toggle("drawer-is-open", open);
  $("drawer-open").setAttribute("aria-expanded", String(open));
  $("sidebar").inert = narrow.matches && !open;
  if (open) $("switcher").focus();
  else if (wasOpen) $("drawer-open").focus();
}

export function drawSidebar(snapshot, place) {
  $("workspace-name").textContent = snapshot.workspace.name;
  drawSwitcher(snapshot);
  const directs = snapshot.channels.filter((channel) => channel.is_im);
  $("directs-title").hidden = directs.length === 0;
  drawPlaces($("channels"), snapshot.channels.filter((channel) => !channel.is_im), snapshot, place);
  drawPlaces($("directs"), directs, snapshot, place);
  drawApps(snapshot, place);
}

function drawSwitcher({ me, users }) {
  const people = users.filter((user) => !user.is_bot);
  const select = $("switcher");
  fill(select, JSON.stringify(people), () =>
    people.map((user) => h("option", { value: user.id }, (user.real_name || user.name) + note(user))),
  );
  select.value = me.id;
  const name = me.real_name || me.name;
  fill($("switcher-avatar"), me.id + name, () => avatar(me.id, name, "avatar-small"));
}

function note(user) {
  if (user.deleted) return " (left)";
  if (user.is_restricted) return " (guest)";
  return user.is_admin ? " (admin)" : "";
}

function drawPlaces(list, channels, { me }, place) {
  keyed(list, channels, {
    key: (channel) => channel.id,
    signature: (channel) => JSON.stringify([channel, me.id, isHere(channel, place)]),
    create: (channel) =>
      h(
        "li",
        {},
        h(
          "a",
          {
            class: `place ${channel.unread ? "place-unread" : ""}`,
            href: addressOf({ user: me.id, channel: channel.id }),
            "aria-current": isHere(channel, place) ? "page" : null,
            "data-testid": "channel",
            "data-channel-id": channel.id,
          },
          placeIcon(channel),
          h("span", { class: "place-label" }, channel.name),
          channel.unread ? h("span", { class: "unread", "aria-label": `${channel.unread} unread`, "data-testid": "unread" }, String(channel.unread)) : null,
        ),
      ),
  });
}

export function placeIcon(channel) {
  return icon(channel?.is_im ? "thread" : channel?.is_private ? "lock" : "hash");
}

function isHere(channel, place) {
  return !place.home && place.channel === channel.id;
}

function drawApps({ app, me }, place) {
  if (!app) return;
  const state = app.connected ? "connected" : "not connected";
  fill($("apps"), JSON.stringify([app.name, app.connected, me.id, place.home]), () =>
    h(
      "li",
      {},
      h(
        "a",
        {
          class: "place",
          href: addressOf({ user: me.id, home: true }),
          "aria-current": place.home ? "page" : null,
          "data-testid": "home-entry",
          title: `${app.name} is ${state}`,
        },
        avatar(app.bot_user, app.name, "avatar-tiny"),
        h("span", { class: "place-label" }, app.name),
        h("span", { class: `presence ${app.connected ? "presence-on" : ""}`, role: "img", "aria-label": state }),
      ),
    ),
  );
}
