// Times and names as people read them.

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const dayWithYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const shortDay = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

const MINUTE = 60 * 1000;
const HOUR = 60 * MINUTE;

function daysAgo(ms) {
  const midnight = (t) => new Date(t).setHours(0, 0, 0, 0);
  return Math.round((midnight(Date.now()) - midnight(ms)) / (24 * HOUR));
}

export const clockTime = (ms) => time.format(ms);
export const fullTime = (ms) => full.format(ms);
export const dayKey = (ms) => new Date(ms).toDateString();

export function dayName(ms) {
  const n = daysAgo(ms);
  if (n === 0) return 'Today';
  if (n === 1) return 'Yesterday';
  return new Date(ms).getFullYear() === new Date().getFullYear() ? day.format(ms) : dayWithYear.format(ms);
}

export function briefTime(ms) {
  const n = daysAgo(ms);
  if (n === 0) return time.format(ms);
  return n === 1 ? 'Yesterday' : shortDay.format(ms);
}

// live: whether news of others reaches this page at all.
export function presence(person, live) {
  if (!live) return 'Unknown while disconnected';
  if (!person || person.online === null) return ''; // asked, not answered yet
  if (person.online) return 'Online';
  if (!person.last_seen) return 'Offline';
  const ago = Date.now() - person.last_seen;
  if (ago < MINUTE) return 'Last seen just now';
  if (ago < HOUR) return `Last seen ${Math.floor(ago / MINUTE)} min ago`;
  const n = daysAgo(person.last_seen);
  if (n === 0) return `Last seen today at ${clockTime(person.last_seen)}`;
  return `Last seen ${n === 1 ? 'yesterday' : shortDay.format(person.last_seen)} at ${clockTime(person.last_seen)}`;
}

// A colour of its own for each name: one of the style sheet's eight.
export function hue(name) {
  let h = 0;
  for (const c of name) h = (h * 31 + c.codePointAt(0)) >>> 0;
  return h % 8;
}

export const initial = (name) => [...name][0]?.toUpperCase() ?? '?';
