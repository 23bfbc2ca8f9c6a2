"use strict";

// Times in the reader's own zone; without this script they are in UTC.
function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (time.dataset.local || Number.isNaN(at.getTime())) continue;
    const today = at.toDateString() === new Date().toDateString();
    const clock = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const day = at.toLocaleDateString([], { weekday: "short", day: "numeric", month: "short" });
    const words = today ? clock : `${day}, ${clock}`;
    time.title = time.textContent;
    time.textContent = /^at /.test(time.textContent) ? `at ${words}` : words;
    time.dataset.local = "yes";
  }
}

// An open page asks whether anything changed, as often as the server says, and only while somebody looks at it.
const page = document.body.dataset;
let asking = null;

async function look() {
  asking = null;
  let seconds = 10;
  try {
    const answer = await fetch("/revision", { headers: { Accept: "text/plain" } });
    seconds = Number(answer.headers.get("Retry-After")) || seconds;
    if (answer.status === 401) return tell("Your session has ended. Reload the page to sign in again.");
    if (answer.ok) {
      const revision = await answer.text();
      if (revision !== page.revision) {
        await (page.page === "inbox" ? newLists() : newState());
        page.revision = revision;
      }
    }
  } catch { /* the network is away; ask again */ }
  again(seconds);
}

function again(seconds) {
  if (asking === null && !document.hidden) asking = setTimeout(look, seconds * 1000);
}

function tell(text) {
  const news = document.getElementById("news");
  if (news && news.textContent !== text) news.textContent = text;
}

async function newLists() {
  const lists = document.getElementById("lists");
  const shown = [...lists.querySelectorAll("[data-waits]")].map((row) => row.dataset.waits);
  const gone = [...lists.querySelectorAll(".gone a.row")].map((row) => row.id.replace("waiting-", ""));
  const answer = await fetch(`/inbox?shown=${[...shown, ...gone].slice(0, 60).join(",")}${location.search ? "&more" : ""}`);
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const focused = document.activeElement && document.activeElement.id;
  lists.replaceChildren(...fresh.body.childNodes);
  localTimes(lists);
  if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
  const count = lists.querySelectorAll("section[aria-labelledby=mine] [data-waits]").length;
  tell(`The list has changed. ${count} waiting for you.`);
}

// A request that somebody else decides is drawn as decided, unless its reader is writing an answer.
async function newState() {
  if (!page.waits) return;
  const answer = await fetch(location.pathname);
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (fresh.body.dataset.waits) return;
  delete page.waits;
  document.querySelector("article").replaceWith(fresh.querySelector("article"));
  document.querySelector(".answers")?.remove();
  localTimes(document);
  tell("This request has been decided.");
}

// A passkey signs, or is made, when a form that asks for it is sent.
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

async function signed(options) {
  const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials) };
  const { id, rawId, type, response } = await navigator.credentials.get({ publicKey });
  const { clientDataJSON, authenticatorData, signature } = response;
  return { id, rawId: text(rawId), type, response: {
    clientDataJSON: text(clientDataJSON), authenticatorData: text(authenticatorData), signature: text(signature) } };
}

async function created(options) {
  const publicKey = { ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: known(options.excludeCredentials) };
  const { id, rawId, type, response } = await navigator.credentials.create({ publicKey });
  return { id, rawId: text(rawId), type, response: {
    clientDataJSON: text(response.clientDataJSON), attestationObject: text(response.attestationObject) } };
}

async function withPasskey(form) {
  const ask = JSON.parse(form.dataset.sign);
  const failed = document.getElementById("failed");
  failed.hidden = true;
  try {
    if (ask.get) form.elements.assertion.value = JSON.stringify(await signed(ask.get));
    if (ask.create) form.elements.registration.value = JSON.stringify(await created(ask.create));
    form.submit();
  } catch (problem) {
    const had = problem.name === "InvalidStateError";
    failed.textContent = had ? "This device has a passkey of yours already. Nothing was changed."
      : "You cancelled, or this device has no passkey for this. Nothing was decided; you can try again.";
    failed.hidden = false;
    failed.scrollIntoView({ block: "nearest" });
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  }
}

for (const form of document.querySelectorAll("form[data-sign]")) {
  form.addEventListener("submit", (event) => { event.preventDefault(); withPasskey(form); });
}

localTimes(document);
document.getElementById("alert")?.focus();
if (page.revision !== undefined) {
  again(2);
  document.addEventListener("visibilitychange", () => again(0));
}
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => setTimeout(() => {
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  }));
}
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
