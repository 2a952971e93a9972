// What the page knows, and everything that changes it. The page invents nothing: message states, presence and the connection are
// shown as the client reported them, and are loaded anew each time the stream of events opens.

import { useEffect, useState } from 'preact/hooks';
import { ApiError, call, listen } from './api.js';

const PAGE = 50;
const SEEN_MAX = 1000;

let state = {
  phase: 'loading', // loading, sign-in, main, taken-over
  me: null,
  stream: false, // the page hears the client
  connection: { connected: false, server: null, reason: '' }, // the client's link to a server
  people: [],
  peer: null, // whose chat is open
  chat: null, // { messages, more, loading, error }
  problem: null, // an error that concerns the whole page
  recovery: null, // a recovery key that was made just now; kept nowhere else
};
const watchers = new Set();

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

// ---- order of replies and events ----
// A reply may have been written before an event that is already here. Events are numbered; a reply's state of a message holds only
// when no event about that message came after the request was sent.

let clock = 0;
let messagesAt = 0;
let connectionAt = 0;
const seen = new Map(); // message id -> { state, reason, at }

function note(id, value, reason) {
  seen.delete(id);
  seen.set(id, { state: value, reason, at: ++clock });
  if (seen.size > SEEN_MAX) seen.delete(seen.keys().next().value);
}

function newest(message, asked) {
  const s = seen.get(message.id);
  return s && s.at > asked ? { ...message, state: s.state, reason: s.reason } : message;
}

const peerOf = (m) => (m.from === state.me?.name ? m.to : m.from);
// Whether news of others can reach this page; without it nobody's presence is known.
export const isLive = (s) => s.stream && s.connection.connected;
export const isOwn = (m, me) => Boolean(me) && m.from === me.name;

// ---- people ----
// online is null until the client has said it; heard is when an event last did.

const lastAt = (p) => (p.last ? p.last.sent_at : 0);

function sorted(people) {
  return [...people].sort((a, b) => lastAt(b) - lastAt(a) || a.name.localeCompare(b.name));
}

function changePerson(name, change) {
  const old = state.people.find((p) => p.name === name);
  const next = change(old || { name, online: null, last_seen: 0, heard: 0, unread: 0, last: null });
  set({ people: sorted([...state.people.filter((p) => p.name !== name), next]) });
}

export const personOf = (s, name) => s.people.find((p) => p.name === name);

// What a reply says of somebody's presence, unless an event said something newer.
function changePresence(p, asked) {
  changePerson(p.name, (old) => (old.heard > asked ? old : { ...old, online: p.online, last_seen: p.last_seen }));
}

// What was known before a break says nothing about now.
function forgetPresence() {
  set({ people: state.people.map((p) => ({ ...p, online: null })) });
}

async function loadPeople() {
  const TRIES = 3;
  for (let i = 0; i < TRIES; i++) {
    const asked = clock;
    const { conversations } = await call('conversations');
    // Somebody whose chat is open, but with whom nothing was exchanged yet, stays.
    const kept = state.people.filter((p) => p.name === state.peer && !conversations.some((c) => c.name === p.name));
    const people = conversations.map((c) => {
      const old = personOf(state, c.name);
      const { online, last_seen, heard } = old?.heard > asked ? old : { ...c, heard: 0 };
      return { ...c, online, last_seen, heard, last: c.last && newest(c.last, asked) };
    });
    set({ people: sorted([...people, ...kept]) });
    if (messagesAt <= asked) return;
  }
}

// ---- the open chat ----

function merge(old, page, asked) {
  const got = page.map((m) => newest(m, asked));
  const ids = new Set(got.map((m) => m.id));
  const overlap = old.findIndex((m) => ids.has(m.id));
  const before = overlap > 0 ? old.slice(0, overlap) : [];
  const last = got.length ? got[got.length - 1].sent_at : 0;
  const after = old.filter((m, i) => i >= before.length && !ids.has(m.id) && m.sent_at >= last);
  return { messages: [...before, ...got, ...after], kept: before.length > 0 };
}

function changeChat(patch) {
  if (state.chat) set({ chat: { ...state.chat, ...patch } });
}

async function loadChat(name) {
  const asked = clock;
  try {
    const page = await call('history', { name, limit: PAGE, before: null });
    if (state.peer !== name || !state.chat) return;
    const { messages, kept } = merge(state.chat.messages, page.messages, asked);
    changeChat({ messages, more: kept ? state.chat.more : page.more, loading: false, error: null });
    markRead();
  } catch (e) {
    if (state.peer === name) changeChat({ loading: false, error: e });
  }
}

export async function loadEarlier() {
  const { peer, chat } = state;
  if (!chat || chat.loading || !chat.more || chat.messages.length === 0) return;
  const asked = clock;
  changeChat({ loading: true });
  try {
    const page = await call('history', { name: peer, limit: PAGE, before: chat.messages[0].id });
    if (state.peer !== peer) return;
    const ids = new Set(state.chat.messages.map((m) => m.id));
    const earlier = page.messages.filter((m) => !ids.has(m.id)).map((m) => newest(m, asked));
    changeChat({ messages: [...earlier, ...state.chat.messages], more: page.more, loading: false, error: null });
  } catch (e) {
    if (state.peer === peer) changeChat({ loading: false, error: e });
  }
}

async function loadPresence(name) {
  const asked = clock;
  try {
    changePresence({ ...(await call('status', { name })), name }, asked);
  } catch (e) {
    if (state.peer === name && e.code !== 'unreachable') changeChat({ error: e });
  }
}

function watch(name) {
  call('watch', { name }).catch((e) => {
    if (state.peer === name) changeChat({ error: e });
  });
}

// Tells the sender, once the messages are on a page that somebody can see.
function markRead() {
  const { peer, chat } = state;
  if (!peer || !chat || chat.loading || document.visibilityState !== 'visible') return;
  const unread = chat.messages.some((m) => m.unread) || (personOf(state, peer)?.unread ?? 0) > 0;
  if (!unread) return;
  call('read', { name: peer })
    .then(() => {
      if (state.peer === peer) changeChat({ messages: state.chat.messages.map((m) => (m.unread ? { ...m, unread: false } : m)) });
      if (personOf(state, peer)) changePerson(peer, (old) => ({ ...old, unread: 0 }));
    })
    .catch((e) => {
      if (state.peer === peer) changeChat({ error: e });
    });
}

function openFromAddress() {
  let peer = null;
  try {
    peer = decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    peer = null;
  }
  if (peer === state.peer) return;
  set({ peer, chat: peer ? { messages: [], more: false, loading: true, error: null } : null });
  if (state.phase === 'main') enterChat();
}

function enterChat() {
  const { peer } = state;
  watch(peer);
  if (!peer) return;
  loadChat(peer);
  loadPresence(peer);
}

export function openChat(name) {
  location.hash = encodeURIComponent(name);
}

export function closeChat() {
  location.hash = '';
}

// Looks a person up by name; throws what the client answers when there is none.
export async function find(name) {
  const asked = clock;
  const p = name === state.me.name ? state.me : await call('status', { name });
  if (p.name === state.me.name) throw new ApiError(0, 'refused', 'That is you.', 'Find somebody else by name.');
  changePresence(p, asked);
  openChat(p.name);
}

// ---- sending ----

function addMessage(m) {
  const peer = peerOf(m);
  if (state.peer === peer && state.chat && !state.chat.messages.some((x) => x.id === m.id)) {
    changeChat({ messages: [...state.chat.messages, m] });
  }
  return peer;
}

// Throws when the client did not take it; then nothing was sent, and the text is still the writer's.
export async function send(to, text) {
  const asked = clock;
  const reply = await call('send', { to, text });
  const m = newest(
    { id: reply.id, from: state.me.name, to: reply.to, text, sent_at: reply.sent_at || Date.now(), state: reply.state, unread: false },
    asked,
  );
  const peer = addMessage(m);
  changePerson(peer, (old) => (old.last && old.last.sent_at > m.sent_at ? old : { ...old, last: m }));
}

// ---- signing in and out ----

const connectionOf = (me, asked) =>
  connectionAt > asked ? state.connection : { ...state.connection, connected: me.connected, server: me.server };

function enter(me, asked) {
  set({ phase: 'main', me, connection: connectionOf(me, asked), problem: null });
}

async function load() {
  const asked = clock;
  try {
    const me = await call('whoami');
    if (me.name) {
      enter(me, asked);
      await loadPeople();
      enterChat();
    } else if (state.phase !== 'taken-over') {
      set({ phase: 'sign-in', me: null, people: [], chat: null, peer: null,
        connection: connectionOf(me, asked), problem: null });
    }
  } catch (e) {
    set({ problem: e });
  }
}

export async function signIn(how, name, password) {
  const asked = clock;
  const me = await call(how, { name, password });
  if (location.hash) history.replaceState(null, '', location.pathname);
  set({ peer: null, chat: null, people: [], recovery: me.recovery ?? null });
  enter(me, asked);
  loadPeople().catch((e) => set({ problem: e }));
}

function leave(phase) {
  if (location.hash) history.replaceState(null, '', location.pathname);
  set({ phase, people: [], peer: null, chat: null, problem: null, recovery: null });
}

export async function logOut() {
  try {
    await call('logout');
    leave('sign-in');
  } catch (e) {
    set({ problem: e });
  }
}

export const signInAgain = () => leave('sign-in');
export const dismiss = () => set({ problem: null });
export const hideRecovery = () => set({ recovery: null });

// ---- events ----

function changeState({ id, peer, state: value, reason }) {
  const fresh = (m) => (m && m.id === id ? { ...m, state: value, reason } : m);
  if (state.chat?.messages.some((m) => m.id === id)) changeChat({ messages: state.chat.messages.map(fresh) });
  if (personOf(state, peer)?.last?.id === id) changePerson(peer, (old) => ({ ...old, last: fresh(old.last) }));
}

// What one of the two has edited or deleted.
function amend(m) {
  const fresh = (old) => (old && old.id === m.id ? { ...old, ...m, state: old.state, reason: old.reason } : old);
  const peer = peerOf(m);
  if (state.peer === peer) changeChat({ messages: state.chat.messages.map(fresh) });
  if (personOf(state, peer)?.last?.id === m.id) changePerson(peer, (old) => ({ ...old, last: fresh(old.last) }));
}

// What is forgotten leaves the list; what else changed in the history is loaded anew.
function forget({ ids, name }) {
  const gone = new Set(ids);
  if (state.chat) changeChat({ messages: state.chat.messages.filter((m) => (name ? name !== peerOf(m) : !gone.has(m.id))) });
  messagesAt = ++clock;
  loadPeople().catch((e) => set({ problem: e }));
}

const on = {
  open() {
    forgetPresence();
    set({ stream: true });
    load();
  },
  lost() {
    set({ stream: false });
  },
  message(m) {
    messagesAt = ++clock;
    if (!state.me) return;
    note(m.id, m.state, m.reason);
    const peer = addMessage(m);
    if (m.reason) changeState({ ...m, peer });
    changePerson(peer, (old) => ({
      ...old,
      last: old.last && old.last.sent_at > m.sent_at ? old.last : m,
      unread: old.unread + (m.unread && old.last?.id !== m.id ? 1 : 0),
    }));
    markRead();
  },
  changed(m) {
    messagesAt = ++clock;
    if (state.me) amend(m);
  },
  forgotten(what) {
    if (state.me) forget(what);
  },
  imported({ name }) {
    if (!state.me) return;
    if (state.peer === name) loadChat(name);
    loadPeople().catch((e) => set({ problem: e }));
  },
  state(s) {
    note(s.id, s.state, s.reason);
    changeState(s);
  },
  presence(p) {
    if (personOf(state, p.name) || state.peer === p.name) {
      const heard = ++clock;
      changePerson(p.name, (old) => ({ ...old, online: p.online, last_seen: p.last_seen, heard }));
    }
  },
  connection(c) {
    const again = c.connected && !state.connection.connected;
    connectionAt = ++clock;
    if (again) forgetPresence();
    set({ connection: { connected: c.connected, server: c.server, reason: c.reason || '' } });
    if (!again || state.phase !== 'main') return;
    loadPeople().catch((e) => set({ problem: e }));
    if (state.peer) loadPresence(state.peer);
  },
  session(s) {
    if (s.name) load();
    else if (state.me && s.reason === 'taken_over') leave('taken-over');
    else if (state.phase === 'main') leave('sign-in');
  },
};

export function start() {
  window.addEventListener('hashchange', openFromAddress);
  document.addEventListener('visibilitychange', markRead);
  openFromAddress();
  listen(on);
}
