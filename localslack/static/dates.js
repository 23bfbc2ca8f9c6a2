// Times as people read them: the page's clock, Slack's `<!date^…>` tokens, and the day lines between messages.

const LOCALE = "en-US";

function format(date, options) {
  return new Intl.DateTimeFormat(LOCALE, options).format(date);
}

function relativeDay(date) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000);
  return { 0: "today", 1: "yesterday", [-1]: "tomorrow" }[days] ?? null;
}

function ago(date) {
  const seconds = Math.round((date - Date.now()) / 1000);
  const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, s]) => Math.abs(seconds) >= s) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(LOCALE, { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

const LONG = { weekday: "long", month: "long", day: "numeric", year: "numeric" };
const MEDIUM = { month: "long", day: "numeric", year: "numeric" };
const SHORT = { month: "short", day: "numeric", year: "numeric" };

const TOKENS = {
  date_num: (date) => date.toISOString().slice(0, 10),
  date_slash: (date) => format(date, { month: "2-digit", day: "2-digit", year: "numeric" }),
  date: (date) => format(date, MEDIUM),
  date_short: (date) => format(date, SHORT),
  date_long: (date) => format(date, LONG),
  date_pretty: (date) => relativeDay(date) ?? format(date, MEDIUM),
  date_short_pretty: (date) => relativeDay(date) ?? format(date, SHORT),
  date_long_pretty: (date) => relativeDay(date) ?? format(date, LONG),
  day_divider_pretty: (date) => relativeDay(date) ?? format(date, LONG),
  date_long_full: (date) => format(date, LONG),
  time: (date) => format(date, { hour: "numeric", minute: "2-digit" }),
  time_secs: (date) => format(date, { hour: "numeric", minute: "2-digit", second: "2-digit" }),
  ago,
};

/** Text of a `<!date^seconds^pattern>` token, or null when it says nothing that can be shown. */
export function dateToken(seconds, pattern) {
  const date = new Date(Number(seconds) * 1000);
  if (Number.isNaN(date.getTime())) return null;
  const text = pattern.replace(/\{(\w+)\}/g, (whole, name) => TOKENS[name]?.(date) ?? whole);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function dateOf(ts) {
  return new Date(Number(ts) * 1000);
}

export function clock(ts) {
  return TOKENS.time(dateOf(ts));
}

export function fullTime(ts) {
  return `${TOKENS.date_long(dateOf(ts))} at ${TOKENS.time_secs(dateOf(ts))}`;
}

export function dayName(ts) {
  const text = TOKENS.date_long_pretty(dateOf(ts));
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function fromNow(ts) {
  return ago(dateOf(ts));
}
