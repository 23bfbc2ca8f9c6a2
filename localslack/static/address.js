// The place being looked at, kept in the page's address, so that reloads, bookmarks and permalinks come back to the same place.

const PERMALINK = /^\/archives\/([A-Z0-9]+)(?:\/p(\d+)(\d{6}))?\/?$/;
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** {user, channel, thread, home, message} of an address of this page; null when the address is not one of ours. */
export function placeOf(url) {
  const query = url.searchParams;
  const place = {
    user: query.get("user"),
    channel: query.get("channel"),
    thread: query.get("thread"),
    home: query.get("home") === "1",
    message: query.get("message"),
  };
  const permalink = PERMALINK.exec(url.pathname);
  if (permalink) {
    place.channel = permalink[1];
    place.message = permalink[2] ? `${permalink[2]}.${permalink[3]}` : null;
    place.thread = query.get("thread_ts");
    return place;
  }
  return url.pathname === "/" ? place : null;
}

/** The place that a link leads to, when it leads to this page. */
export function placeOfLink(href) {
  const url = new URL(href, location.href);
  const here = url.port === location.port && LOOPBACK.has(url.hostname) && LOOPBACK.has(location.hostname);
  if (!here && url.origin !== location.origin) return null;
  const place = placeOf(url);
  return place && (place.channel || place.home) ? place : null;
}

export function addressOf(place) {
  const query = new URLSearchParams();
  for (const name of ["user", "channel", "thread", "message"]) if (place[name]) query.set(name, place[name]);
  if (place.home) query.set("home", "1");
  return `/?${query}`;
}

export function permalink(channel, message) {
  const reply = message.thread_ts && message.thread_ts !== message.ts;
  const query = reply ? `?thread_ts=${message.thread_ts}&cid=${channel}` : "";
  return `${location.origin}/archives/${channel}/p${message.ts.replace(".", "")}${query}`;
}
