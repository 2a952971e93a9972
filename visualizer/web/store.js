// What the page knows of the ring: what the visualizer pushes, and the ways to names that it asks for. Changes between two pictures
// of the ring become entries in the log beside the traces that servers send.

import { useEffect, useState } from 'preact/hooks';

const LOG_MAX = 200;
const RETRY_MS = 1500;
const OWN_MS = 8000; // so long what others look up does not take the place of what was looked up here
const STATES = ['up', 'down', 'joining', 'leaving', 'unwell', 'suspect'];

let state = {
  stream: false,
  connection: { connected: false, servers: [] },
  ring: null,
  log: [], // newest first: { key, at, node, kind, text }
  selected: null,
  way: null, // the lookup that is drawn: { serial, key, owner, path, hops, microseconds, name? }; name: asked here
  past: null, // the one before, which fades
};
let shown = 0; // when `way` was
const watchers = new Set();
let entries = 0;

function set(patch) {
  state = { ...state, ...patch };
  for (const w of watchers) w(state);
}

export function useStore() {
  const [now, update] = useState(state);
  useEffect(() => {
    watchers.add(update);
    update(state);
    return () => watchers.delete(update);
  }, []);
  return now;
}

export const short = (id) => (id ? id.slice(0, 6) : '–');
export const select = (id) => set({ selected: state.selected === id ? null : id });
// A state this page has no picture for is shown as one that is not sound.
export const stateOf = (node) => (STATES.includes(node.state) ? node.state : 'suspect');

// How the ring is, for the headline and the middle of the picture. Whole: every server is up and the pointers close. Closed: the
// pointers close, past servers that are not up.
export function verdict({ whole, nodes }) {
  const up = nodes.filter((n) => stateOf(n) === 'up').length;
  const down = nodes.filter((n) => stateOf(n) === 'down').length;
  if (!whole) return { kind: 'broken', headline: 'The ring is not whole', word: 'not whole', up };
  if (up === nodes.length) return { kind: 'whole', headline: 'The ring is whole', word: 'ring whole', up };
  const headline = `The ring is closed: ${up} of ${nodes.length} servers up`;
  return { kind: 'closed', headline, word: down > 0 ? `closed over ${down} down` : 'ring closed', up };
}

function entry(at, node, kind, text) {
  entries += 1;
  return { key: entries, at, node, kind, text };
}

const changes = {
  up: 'is up',
  down: 'does not answer',
  joining: 'is joining',
  leaving: 'is leaving',
  unwell: 'steps back: its disk is full or fails',
  suspect: 'is late to answer',
};

function differences(old, ring) {
  const out = [];
  const say = (node, kind, text) => out.push(entry(ring.at, node, kind, text));
  const before = new Map(old.nodes.map((n) => [n.id, n]));
  for (const n of ring.nodes) {
    const was = before.get(n.id);
    if (!was) say(n.id, 'joined', `${n.address} is new on the ring`);
    else if (was.state !== n.state) say(n.id, stateOf(n), `${n.address} ${changes[stateOf(n)]}`);
    else if (was.incarnation !== n.incarnation) say(n.id, 'up', `${n.address} was started again`);
    before.delete(n.id);
  }
  for (const n of before.values()) say(n.id, 'left', `${n.address} is no longer on the ring`);
  if (old.epoch !== ring.epoch) say(null, 'epoch', `The roster is now epoch ${ring.epoch}`);
  if (old.coordinator !== ring.coordinator) {
    say(ring.coordinator, 'coordinator', ring.coordinator ? `${short(ring.coordinator)} is the coordinator` : 'There is no coordinator');
  }
  const { kind, headline } = verdict(ring);
  if (kind !== verdict(old).kind) say(null, kind, headline);
  return out;
}

export const took = (us) => (us < 1000 ? `${us} µs` : `${(us / 1000).toFixed(1)} ms`);
export const hopsText = (n) => `${n} ${n === 1 ? 'hop' : 'hops'}`;
export const steps = (path) => path.map(short).join(' → ');

// A lookup comes twice when it was asked for here: as the answer, and as an event like those of others.
function show(way) {
  const same = state.way?.serial === way.serial;
  if (!same) shown = Date.now();
  set({ way, past: same ? state.past : state.way });
}

function log(fresh) {
  if (fresh.length > 0) set({ log: [...fresh.reverse(), ...state.log].slice(0, LOG_MAX) });
}

const on = {
  ring(ring) {
    const nodes = [...ring.nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
    const next = { ...ring, nodes };
    const fresh = state.ring ? differences(state.ring, next) : [];
    set({ ring: next });
    log(fresh);
  },
  trace(t) {
    log([entry(t.at, t.node, t.kind, t.text)]);
  },
  path(way) {
    const what = `${steps(way.path)}, ${hopsText(way.hops)}, ${took(way.microseconds)}`;
    log([entry(way.at, way.owner, 'lookup', `keeps the key ${short(way.key)}: ${what}`)]);
    const kept = state.way?.name && Date.now() - shown < OWN_MS;
    if (!kept && state.way?.serial !== way.serial) show(way);
  },
  connection(c) {
    set({ connection: { connected: c.connected, servers: c.servers || [] } });
  },
};

// The token is new with each run of the visualizer.
let token = document.querySelector('meta[name="peal-token"]')?.content ?? '';

async function refreshToken() {
  const reply = await fetch('/', { cache: 'no-store' });
  const page = new DOMParser().parseFromString(await reply.text(), 'text/html');
  token = page.querySelector('meta[name="peal-token"]')?.content ?? token;
}

const unreachable = { code: 'unreachable', message: 'The visualizer is not running.', hint: 'Start it again; this page reconnects by itself.' };

async function post(name, body) {
  let reply;
  let data = null;
  try {
    reply = await fetch(`/api/${name}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Peal-Token': token },
      body: JSON.stringify(body),
    });
    data = await reply.json();
  } catch {
    return { error: reply ? { code: 'bad_reply', message: `The visualizer answered ${reply.status}.`, hint: '' } : unreachable };
  }
  return data;
}

// Asks for the way to a name and draws it. Resolves with what is wrong, or null.
export async function lookUp(name) {
  let reply = await post('lookup', { name });
  if (reply.error?.code === 'bad_token') {
    await refreshToken().catch(() => {});
    reply = await post('lookup', { name });
  }
  if (reply.error) return reply.error;
  show(reply);
  return null;
}

export function listen() {
  const source = new EventSource(`/api/events?token=${encodeURIComponent(token)}`);
  source.onopen = () => set({ stream: true });
  source.onerror = () => {
    set({ stream: false });
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => refreshToken().catch(() => {}).then(listen), RETRY_MS);
  };
  for (const event of Object.keys(on)) {
    source.addEventListener(event, (e) => on[event](JSON.parse(e.data)));
  }
}
