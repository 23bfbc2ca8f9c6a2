// Puts the page together: one place being looked at, one snapshot of it, drawn whenever either changes.

import { renderBlocks } from "./blocks.js";
import { Composer } from "./composer.js";
import { namesForConfirm } from "./confirm.js";
import { Directory } from "./directory.js";
import { h, icon } from "./dom.js";
import { Live, act } from "./connection.js";
import { MessageList } from "./messages.js";
import { Modal } from "./modal.js";
import { addressOf, placeOf, placeOfLink } from "./address.js";
import { drawSidebar, openDrawer, placeIcon, setUpSidebar } from "./sidebar.js";
import { surfaceOf } from "./surface.js";
import { showNotices, toast } from "./toasts.js";

const $ = (id) => document.getElementById(id);

const start = placeOf(new URL(location.href)) ?? {};
let place = { user: null, channel: null, thread: null, home: false, message: null, ...start };
place.user ??= localStorage.getItem("localslack.user");
let snapshot = null; // the newest that shows the place
let latest = null; // the newest of all
let revealed = null;
let readSent = "";

const doAct = async (body) => {
  const problem = await act(place.user, body);
  if (problem) toast(problem);
  return problem === null;
};

const modal = new Modal(doAct);
const list = new MessageList($("messages"), $("newer"));
const threadList = new MessageList($("thread-messages"));
const composer = new Composer($("composer"), {
  testid: "composer",
  label: "Message",
  onSend: (text) => doAct({ do: "post", channel: place.channel, text }),
});
const threadComposer = new Composer($("thread-composer"), {
  testid: "thread-composer",
  label: "Reply",
  onSend: (text) => doAct({ do: "post", channel: place.channel, text, thread_ts: place.thread }),
});

function lookedAt() {
  const { user, channel, thread, home } = place;
  return { user, channel, thread: thread ?? null, home };
}

function go(next, { remember = true } = {}) {
  const before = place;
  place = { thread: null, message: null, home: false, channel: null, ...next, user: next.user ?? before.user };
  // Home and another person's view keep the channel underneath, so that coming back needs no choice.
  place.channel ??= before.channel;
  if (place.user) localStorage.setItem("localslack.user", place.user);
  if (remember) history.pushState(null, "", addressOf(place));
  revealed = null;
  openDrawer(false);
  live.look(lookedAt());
  if (latest && !isLate(latest)) snapshot = latest; // the server sends nothing twice
  if (place.home && (!before.home || before.user !== place.user)) doAct({ do: "home" });
  draw();
  if (place.thread && place.thread !== before.thread) threadComposer.focus();
}

/** Whether a snapshot still shows the place that we have just left, and the right one is on its way. */
function isLate({ me, channel, channels, home }) {
  if (place.user && me.id !== place.user) return true;
  if (place.home && !home) return true;
  return Boolean(place.channel) && channel?.id !== place.channel && channels.some((each) => each.id === place.channel);
}

function onSnapshot(next) {
  if (next.error) return startOver(next.error);
  latest = next;
  if (isLate(next)) return;
  const isFirst = snapshot === null;
  snapshot = next;
  if (next.me.id !== place.user || next.channel?.id !== place.channel) adopt(next);
  if (isFirst && place.home) doAct({ do: "home" });
  draw();
}

/** The person that we came as is not in this workspace (an old address, another workspace on this port). */
function startOver(error) {
  if (!place.user) return toast(`This workspace cannot be shown: ${error}.`);
  localStorage.removeItem("localslack.user");
  place = { ...place, user: null };
  live.look(lookedAt());
}

/** The server knows better who may look at what (at the first snapshot, or after an unknown id in the address). */
function adopt(next) {
  const wanted = place.channel;
  place.user = next.me.id;
  if (next.channel) place.channel = next.channel.id;
  if (wanted && next.channel && wanted !== next.channel.id) {
    toast("That channel is not here, or not for you.");
    place.thread = place.message = null;
  }
  history.replaceState(null, "", addressOf(place));
}

function draw() {
  if (!snapshot) return;
  const directory = new Directory(snapshot);
  namesForConfirm(directory);
  drawSidebar(snapshot, place);
  drawMain(directory);
  drawThread(directory);
  modal.show(snapshot.modal, directory);
  showNotices(snapshot.notices ?? [], (notice) => doAct({ do: "dismiss", notice }));
  markRead();
}

function peopleFor(directory) {
  return [
    ...directory.users.filter((user) => !user.deleted).map((user) => ({ handle: user.name, name: user.real_name || user.name })),
    ...directory.usergroups.map((group) => ({ handle: group.handle, name: group.name })),
  ];
}

function drawMain(directory) {
  $("channel-view").hidden = place.home;
  $("home-view").hidden = !place.home;
  if (place.home) return drawHome(directory);
  const channel = snapshot.channel?.id === place.channel ? snapshot.channel : null;
  const known = snapshot.channels.find((each) => each.id === place.channel);
  const name = channel?.name ?? known?.name ?? "";
  $("place-name").replaceChildren(placeIcon(known), name);
  $("place-note").textContent = known && !known.bot_member && snapshot.app ? `${snapshot.app.name} is not in this channel` : "";
  document.title = `${name} - ${snapshot.workspace.name}`;
  composer.show(`${place.user}/${place.channel}`, `Message ${known?.is_im ? "" : "#"}${name}`, snapshot.app?.commands ?? [], peopleFor(directory));
  if (!channel) return;
  const hint = snapshot.app?.hint;
  const context = { channel: channel.id, thread: null, directory, act: doAct, highlight: place.thread ? null : place.message, hint };
  list.show(`${place.user}/${channel.id}`, channel.messages, context);
  if (place.message && !place.thread && revealed !== place.message && list.reveal(place.message)) revealed = place.message;
}

function drawHome(directory) {
  const view = snapshot.home?.view;
  $("place-name").replaceChildren(snapshot.app?.name ?? "App");
  $("place-note").textContent = "Home";
  document.title = `${snapshot.app?.name ?? "App"} - ${snapshot.workspace.name}`;
  const box = $("home-view");
  if (!view) {
    box.dataset.view = "";
    box.replaceChildren(h("p", { class: "empty" }, "This app has not shown anything on its Home yet."));
    return;
  }
  if (box.dataset.view !== view.id) box.replaceChildren(h("div", { class: "home-blocks" }));
  box.dataset.view = view.id;
  const surface = surfaceOf(view.id, { view_id: view.id }, doAct, view.blocks, view.state?.values);
  renderBlocks(box.firstElementChild, view.blocks, { surface, directory });
}

function drawThread(directory) {
  const isOpen = Boolean(place.thread) && !place.home;
  $("thread").hidden = !isOpen;
  document.body.classList.toggle("thread-is-open", isOpen);
  const thread = snapshot.thread?.ts === place.thread && snapshot.channel?.id === place.channel ? snapshot.thread : null;
  if (!isOpen) return;
  const where = `${place.user}/${place.channel}/${place.thread}`;
  const context = { channel: place.channel, thread: place.thread, directory, act: doAct, highlight: place.message };
  $("thread-note").textContent = `#${directory.channelName(place.channel)}`;
  threadList.show(where, thread?.messages ?? [], context);
  threadComposer.show(where, "Reply…", [], peopleFor(directory));
  if (place.message && revealed !== place.message && threadList.reveal(place.message)) revealed = place.message;
}

/** What is in front of the person's eyes counts as read. */
function markRead() {
  const channel = snapshot.channels.find((each) => each.id === place.channel);
  if (!channel?.unread) readSent = "";
  if (!channel?.unread || place.home || document.hidden || snapshot.channel?.id !== place.channel) return;
  const fact = `${place.user}/${channel.id}/${channel.unread}`;
  if (fact === readSent) return;
  readSent = fact;
  act(place.user, { do: "read", channel: channel.id });
}

function closeThread() {
  go({ ...place, thread: null, message: null });
  composer.focus();
}

setUpSidebar((user) => go({ ...place, user, message: null }));
$("thread-close").append(icon("close"));
$("thread-close").addEventListener("click", closeThread);
$("thread").addEventListener("keydown", (event) => event.key === "Escape" && !event.defaultPrevented && closeThread());
document.addEventListener("visibilitychange", () => snapshot && markRead());

// Links that lead to this page (places, permalinks, channel mentions) do not load it again.
document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const next = placeOfLink(anchor.getAttribute("href"));
  if (!next) return;
  event.preventDefault();
  go(next);
});
window.addEventListener("popstate", () => {
  const next = placeOf(new URL(location.href));
  if (next) go(next, { remember: false });
});

const live = new Live(lookedAt(), onSnapshot, (connected) => {
  $("connection").textContent = connected ? "" : "Connecting…";
  document.body.classList.toggle("offline", !connected);
});
