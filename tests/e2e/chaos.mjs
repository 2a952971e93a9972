// Load and faults for real processes: people who register, log in, write, go away and come back, while servers are killed and started
// again; a history of all that the programs told them; and a judge who reads nothing but that history. The seed decides who is killed
// when and what people do; how fast the machine is decides the rest.
//
// As a program: the long way, for tests/soak.sh.
//   node tests/e2e/chaos.mjs [--servers N] [--seconds N] [--seed N] [--rolling ROUNDS]
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pace } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bin, eventually, folder, killAll, PATIENCE, Proc, Ring, Server } from './lib.mjs';
import { Link } from './link.mjs';

const UNSHOWN_MAX = 400; // messages under way, beyond which nobody writes: a slow machine is given less to do
const RIVALS_MAX = 3; // people who want one name
const TRIES_MAX = 30; // for one registration, as the program's hint says
const WRONG_MAX = 50; // things told of one history
const CODES = { 7: 'not_found', 8: 'exists', 10: 'auth', 15: 'unknown', 16: 'unavailable', 17: 'stale', 18: 'busy' }; // of peal/base.h
const PASSING = ['unavailable', 'unknown', 'busy']; // what may be said while too many servers are down

/** mulberry32: the same numbers for the same seed. */
export class Rng {
  constructor(seed) { this.s = seed >>> 0; }
  next() {
    this.s = (this.s + 0x6d2b79f5) >>> 0;
    let t = this.s;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  below(n) { return Math.floor(this.next() * n); }
  between(lo, hi) { return lo + this.below(hi - lo + 1); }
  some(list, n) {
    const left = [...list];
    return [...Array(Math.min(n, left.length))].map(() => left.splice(this.below(left.length), 1)[0]);
  }
  one(list) { return list[this.below(list.length)]; }
}

/** Who is killed when and for how long, in milliseconds from the start: of the seed and these numbers alone. */
export function schedule(seed, { servers, seconds, most }) {
  const rng = new Rng(seed);
  const plan = [];
  for (let at = rng.between(500, 1500); at < seconds * 1000; at += rng.between(1500, 4000)) {
    plan.push({ at, kill: rng.some([...Array(servers).keys()], rng.between(1, most)), down: rng.between(100, 3000) });
  }
  return plan;
}

/** Everything that the programs said to people, in the order in which they said it. */
export class History {
  constructor() {
    this.began = process.hrtime.bigint();
    this.lines = [];
    this.waiters = new Set();
  }

  now() { return Number((process.hrtime.bigint() - this.began) / 1000n); }

  add(op, fields) {
    this.lines.push({ at: this.now(), op, ...fields });
    for (const w of [...this.waiters]) w();
  }

  /** Resolves once test() is true, looked at with each new line; in vain when nothing at all happens for PATIENCE, or always something else. */
  until(test, what) {
    return new Promise((resolve, reject) => {
      let timer;
      const end = Date.now() + 5 * PATIENCE;
      const over = (f, v) => { clearTimeout(timer); this.waiters.delete(look); f(v); };
      const patience = () => { timer = setTimeout(() => over(reject, new Error(`in vain: ${what()}`)), PATIENCE); };
      const look = () => {
        clearTimeout(timer);
        if (test()) over(resolve);
        else if (Date.now() < end) patience();
        else over(reject, new Error(`in vain for long: ${what()}`));
      };
      this.waiters.add(look);
      look();
    });
  }
}

/** One person at a client of their own, which stays the same one however often it is stopped and started. */
class User {
  constructor(load, name, site) {
    Object.assign(this, { load, name, site, profile: folder(`user-${name}`), online: false, runs: 0 });
  }

  /** Opens the client: what it shows and what it says of sent messages goes into the history. */
  async come() {
    const run = ++this.runs;
    this.proc = this.load.peal(this.site, this.name, this.profile, 'recv', '--follow');
    let rest = '';
    this.proc.child.stdout.on('data', (d) => {
      const lines = (rest + d).split('\n');
      rest = lines.pop();
      for (const line of lines) this.#shown(JSON.parse(line), run);
      this.proc.out = '';
    });
    this.reqs = new Map();
    this.last = 0;
    this.socket = await eventually(() => this.#dial(), `the client of ${this.name} is there`);
    await this.#ask({ cmd: 'events' });
    this.online = true;
    this.load.history.add('come', { who: this.name });
  }

  #shown(m, run) {
    if (m.error) {
      this.load.history.add('trouble', { who: this.name, code: m.error.code, message: m.error.message });
      return;
    }
    this.load.arrived(m.id);
    this.load.history.add('shown', { id: m.id, who: this.name, from: m.from, to: m.to, text: m.text, state: m.state, run });
  }

  async #dial() {
    if (this.proc.code !== undefined) throw new Error(`ended: ${this.proc.err}`);
    const s = net.connect(join(this.profile, 'control.sock'));
    await new Promise((resolve, reject) => { s.once('connect', resolve).once('error', reject); });
    let rest = '';
    s.setEncoding('utf8').on('data', (d) => {
      const lines = (rest + d).split('\n');
      rest = lines.pop();
      for (const line of lines) this.#heard(JSON.parse(line));
    });
    s.on('error', () => {});
    s.on('close', () => {
      for (const answer of this.reqs.values()) answer(undefined);
      this.reqs.clear();
    });
    return s;
  }

  #heard(o) {
    const { history } = this.load;
    if (o.event === 'state') history.add('state', { id: o.data.id, who: this.name, state: o.data.state });
    else if (o.event === 'trouble') history.add('trouble', { who: this.name, code: o.data.code, message: o.data.message });
    else if (o.event === 'session' && o.data.name === null) history.add('outside', { who: this.name, reason: o.data.reason });
    else if (o.req !== undefined && o.last) {
      this.reqs.get(o.req)?.(o.reply);
      this.reqs.delete(o.req);
    }
  }

  #ask(request) {
    const req = ++this.last;
    return new Promise((resolve) => {
      this.reqs.set(req, resolve);
      this.socket.write(JSON.stringify({ ...request, req }) + '\n');
    });
  }

  async send(to, text) {
    const { history } = this.load;
    const began = history.now();
    const r = await this.#ask({ cmd: 'send', to: to.name, text });
    const said = { who: this.name, to: to.name, text, began };
    if (r === undefined) history.add('lost_call', said);
    else if (r.error) history.add('refused', { ...said, code: r.error.code, message: r.error.message });
    else {
      this.load.underWay(r.id);
      history.add('sent', { ...said, id: r.id, state: r.state });
    }
  }

  /** Closes the client in good order; it has answered everything. */
  async go() {
    this.online = false;
    const code = await this.proc.signal('SIGTERM');
    this.socket.destroy();
    this.load.history.add('go', { who: this.name, code });
  }

  /** All that the profile has of one conversation, in the end. */
  async conversation(peer) {
    const all = [];
    let before = null;
    for (;;) {
      const r = await this.#ask({ cmd: 'history', name: peer.name, limit: 500, before });
      assert.ok(r && !r.error, `${this.name}'s history: ${JSON.stringify(r)}`);
      all.unshift(...r.messages);
      if (!r.more) return all;
      before = r.messages[0].id;
    }
  }
}

/**
 * What people do. sites: where they are, one after the other: { servers, machine? }, the servers whose addresses they are given, and a
 * machine of netns.mjs; here, with all of them, by default.
 */
export class Load {
  constructor(ring, { seed, users = 8, sites = [{ servers: ring.servers }] }) {
    Object.assign(this, { ring, seed, rng: new Rng(seed ^ 0x10ad), history: new History(), procs: [], unshown: new Set(), known: new Set(), texts: 0, races: 0, names: [] });
    this.sites = sites;
    this.users = [...Array(users)].map((_, i) => new User(this, `u${i}`, sites[i % sites.length]));
  }

  /** A client at a site, given two of its servers; it finds the others by itself. */
  peal(site, name, profile, ...args) {
    const last = typeof args.at(-1) === 'object' ? args.pop() : {};
    const all = ['--profile', profile, ...this.rng.some(site.servers, 2).flatMap((s) => ['--server', s.address]), '--json', ...args];
    const proc = site.machine ? site.machine.run(name, 'peal', ...all, last)
      : new Proc(join(bin, 'peal'), all, { name, env: { PEAL_MULTICAST: 'off' }, ...last });
    this.procs.push(proc);
    return proc;
  }

  /** A message may be shown before its sender's client has answered. */
  arrived(id) {
    this.unshown.delete(id);
    this.known.add(id);
  }

  underWay(id) {
    if (!this.known.has(id)) this.unshown.add(id);
  }

  /** Everybody registers, one name each, and comes. */
  async begin() {
    for (const u of this.users) {
      const r = await this.enter(u.site, 'register', u.name, u.profile, `the password of ${u.name}`);
      assert.equal(r.outcome, 'mine', JSON.stringify(r));
      await u.come();
    }
  }

  /** Registers or logs in; what was said of it. */
  async enter(site, command, name, profile, password) {
    const began = this.history.now();
    const p = this.peal(site, `${command} ${name}`, profile, command, name, '--password-file', '-', { input: `${password}\n` });
    const code = await p.ended;
    const error = p.out ? JSON.parse(p.out).error : undefined;
    const outcome = code === 0 ? 'mine' : error?.code ?? `exit ${code}: ${p.err}`;
    this.history.add(command, { name, password, began, outcome, message: error?.message });
    return { outcome, message: error?.message };
  }

  /** As somebody does who wants the name, and does as the program says. */
  async #claim(site, name, password) {
    for (let i = 0; i < TRIES_MAX; i++) {
      const profile = folder('rival');
      let r = await this.enter(site, 'register', name, profile, password);
      for (let k = 0; r.outcome === 'unknown' && k < TRIES_MAX; k++) {
        r = await this.enter(site, 'login', name, profile, password);
        if (r.outcome === 'unavailable') r.outcome = 'unknown'; // whether it is registered, that is
      }
      if (r.outcome === 'mine' || r.outcome === 'exists' || r.outcome === 'auth') return r.outcome;
      if (r.outcome !== 'not_found' && r.outcome !== 'unavailable') throw new Error(`registering ${name}: ${JSON.stringify(r)}`);
    }
    throw new Error(`${name} could not be registered in ${TRIES_MAX} tries`);
  }

  /** One name that several people want at the same instant. */
  async contest() {
    const name = `n${this.seed}-${this.names.length}`;
    const rivals = [...Array(this.rng.between(1, RIVALS_MAX))].map((_, i) => `rival ${i} wants ${name}`);
    this.names.push({ name, rivals });
    const outcomes = await Promise.all(rivals.map((password) => this.#claim(this.rng.one(this.sites), name, password)));
    const winner = rivals[outcomes.indexOf('mine')];
    if (winner) await this.enter(this.rng.one(this.sites), 'login', name, folder('again'), winner);
  }

  async #writing(rate) {
    while (!this.done) {
      await pace(1000 / rate);
      const from = this.rng.one(this.users.filter((u) => u.online));
      const to = this.rng.one(this.users.filter((u) => u !== from));
      if (from && this.unshown.size < UNSHOWN_MAX) await from.send(to, `${this.seed}:${this.texts++} ${'x'.repeat(this.rng.below(300))}`);
    }
  }

  async #wandering() {
    while (!this.done) {
      await pace(this.rng.between(300, 1500));
      const u = this.rng.one(this.users);
      await u.go();
      await pace(this.rng.between(100, 2500));
      await u.come();
    }
  }

  /**
   * A name that several ask for at the very same instant, over links to servers of their own, and without a client that would ask again.
   * Whoever has it logs in; if it is not known who has it, everybody tries.
   */
  async race() {
    const name = `r${this.seed}-${this.races++}`;
    const site = this.rng.one(this.sites);
    const links = await Promise.all(this.rng.some(site.servers, this.rng.between(2, RIVALS_MAX)).map((s) => Link.open(s.address).catch(() => undefined)));
    const racers = links.filter((l) => l).map((link, i) => ({ link, password: `racer ${i} for ${name}`, auth: randomBytes(32) }));
    const told = (op, began, password, a) => {
      const outcome = a === undefined ? 'unknown' : a.t === 'c_session' ? 'mine' : CODES[a.code] ?? `code ${a.code}: ${a.message}`;
      this.history.add(op, { name, password, began, outcome, once: true });
      return outcome;
    };
    const outcomes = await Promise.all(racers.map(async ({ link, password, auth }) => {
      const began = this.history.now();
      return told('register', began, password, await link.register(name, auth));
    }));
    for (const { link } of racers) link.socket.destroy();
    const owner = outcomes.indexOf('mine');
    for (const { password, auth } of owner >= 0 ? [racers[owner]] : racers) {
      const link = await Link.open(this.rng.one(site.servers).address).catch(() => undefined);
      const began = this.history.now();
      if (link) told('login', began, password, await link.login(name, auth));
      link?.socket.destroy();
    }
  }

  async #racing() {
    while (!this.done) {
      await this.race();
      await pace(this.rng.between(10, 100));
    }
  }

  async #wanting() {
    while (!this.done) {
      await this.contest();
      await pace(this.rng.between(200, 2000));
    }
  }

  /** Everybody has written to everybody, so that each knows the others' keys, and all of it is read. */
  async greet() {
    for (const u of this.users) for (const peer of this.users) if (u !== peer) await u.send(peer, `${this.seed}:${this.texts++} good day`);
    await this.history.until(() => this.unshown.size === 0, () => `${this.unshown.size} greetings are not shown`);
  }

  /** Somebody tries for a name, once. */
  want(site, name, password) { return this.enter(site, 'register', name, folder('rival'), password); }

  /** So many further messages have been written. */
  more(n) {
    const enough = this.texts + n;
    return this.history.until(() => this.texts >= enough, () => `only ${enough - this.texts} were written`);
  }

  async #living(work, lives) {
    const living = Promise.all(lives());
    living.catch(() => { this.done = true; });
    try { await Promise.race([work(), living.then(() => new Promise(() => {}))]); } finally { this.done = true; }
    await living;
  }

  /** Lets people live while work() goes on, and waits for what they were about to do. */
  during(work, { rate = 30 } = {}) {
    this.done = false;
    return this.#living(work, () => [this.#writing(rate / 2), this.#writing(rate / 2), this.#wandering(), this.#wanting(), this.#wanting(), this.#racing()]);
  }

  /** The same with people who stay where they are, and only write. */
  writing(work, { rate = 30 } = {}) {
    this.done = false;
    return this.#living(work, () => [this.#writing(rate / 2), this.#writing(rate / 2)]);
  }

  /** Everybody is here, has been shown everything, and knows that what they wrote was read; then what each client has on its disk. */
  async settle() {
    for (const u of this.users) if (!u.online) await u.come();
    await this.history.until(() => this.unshown.size === 0, () => `${this.unshown.size} messages are not shown: ${[...this.unshown].slice(0, 5)}`);
    for (const u of this.users) {
      for (const peer of this.users) {
        if (peer === u) continue;
        let all;
        await eventually(async () => {
          all = await u.conversation(peer);
          return all.every((m) => m.from !== u.name || m.state === 'read');
        }, `${u.name} knows that ${peer.name} has read everything`);
        for (const m of all) this.history.add('kept', { who: u.name, id: m.id, from: m.from, to: m.to, text: m.text, state: m.state });
      }
    }
  }

  /** Who gets in with which password, when all is over. */
  async auditNames() {
    for (const { name, rivals } of this.names) {
      for (const password of rivals) assert.notEqual(await this.audit(name, password), 'not_found', `${name} is somebody's`);
    }
  }

  /** Whether this password opens the name: `mine`, `auth` when somebody else has it, or `not_found`. */
  async audit(name, password) {
    const { outcome } = await this.enter(this.sites[0], 'login', name, folder('audit'), password);
    assert.ok(['mine', 'auth', 'not_found'].includes(outcome), `${password}: ${outcome}`);
    return outcome;
  }

  async end() {
    await Promise.all(this.users.filter((u) => u.online).map((u) => u.go()));
  }
}

/**
 * The history in the form that peal-check reads (tests/sim/history.h). A name is a register that holds its owner's password: to register
 * is to set it where nothing was, and to log in is to read it - or, when the password is refused, to find another one.
 */
export function records(lines) {
  const out = [];
  const stored = new Set();
  let op = 0;
  const operation = (l, what, end) => {
    const id = `op${op++}`;
    const key = `name/${l.name}`;
    out.push({ at_us: l.began, id, event: 'invoke', key, by: l.password, ...what });
    out.push({ at_us: l.at, id, ...end });
  };
  for (const l of lines) {
    if (l.op === 'sent') out.push({ at_us: l.began, event: 'sent', message: l.id, from: l.who, to: l.to });
    else if (l.op === 'shown') out.push({ at_us: l.at, event: 'shown', message: l.id, to: l.who });
    else if (l.op === 'state' && l.state !== 'queued' && l.state !== 'failed' && !stored.has(l.id)) {
      stored.add(l.id);
      out.push({ at_us: l.at, event: 'stored', message: l.id });
    } else if (l.op === 'register') {
      const event = { mine: 'ok', exists: 'refused', unavailable: 'fail' }[l.outcome] ?? 'unknown';
      operation(l, { op: 'cas', from: null, value: l.password }, { event });
    } else if (l.op === 'login' && l.outcome === 'auth') operation(l, { op: 'cas', from: l.password, value: l.password }, { event: 'refused' });
    else if (l.op === 'login' && l.outcome === 'mine') operation(l, { op: 'read' }, { event: 'ok', value: l.password });
    else if (l.op === 'login' && l.outcome === 'not_found') operation(l, { op: 'read' }, { event: 'ok', value: null });
  }
  return out;
}

const jsonLines = (all) => all.map((l) => `${JSON.stringify(l)}\n`).join('');
const ORDER = ['queued', 'stored', 'delivered', 'read'];

/**
 * What is wrong in a history; nothing, if the promises were kept. peal-check says whether names had one owner, and what was stored was shown
 * once and to whom it was for; here, whether texts came as they were sent, also what was not called stored went out in the end, both ends
 * keep what they should, and states only advance. strict: nobody was told that something could not be done just now.
 */
export async function judge(lines, { strict = false } = {}) {
  const wrong = [];
  const sent = new Map();
  const shown = new Set();
  const states = new Map();
  const kept = new Map();
  const say = (...words) => { if (wrong.length < WRONG_MAX) wrong.push(words.join(' ')); };
  const same = (m, l) => m.who === l.from && m.to === l.to && m.text === l.text;
  for (const l of lines) if (l.op === 'sent') sent.set(l.id, l);
  for (const l of lines) {
    const m = sent.get(l.id);
    if (l.op === 'shown' || l.op === 'kept') {
      if (!m || !same(m, l)) say('changed:', JSON.stringify(l), 'was sent as', JSON.stringify(m));
      const key = `${l.who} ${l.id}`;
      if (l.op === 'shown') shown.add(key);
      else if (kept.has(key)) say('twice:', l.who, 'has', l.id);
      else kept.set(key, l);
    } else if (l.op === 'state') {
      const before = states.get(l.id) ?? 'queued';
      if (!ORDER.includes(l.state)) say('failed:', l.id, 'became', l.state);
      else if (ORDER.indexOf(l.state) <= ORDER.indexOf(before)) say('back:', l.id, 'became', l.state, 'after', before);
      states.set(l.id, l.state);
    } else if (l.op === 'refused' || l.op === 'lost_call') say('refused:', JSON.stringify(l));
    else if (l.op === 'outside') say('logged out:', l.who, l.reason);
    else if (l.op === 'go' && l.code !== 0) say('ended badly:', l.who, l.code);
    else if (strict && !l.once && PASSING.includes(l.outcome)) say('failed:', JSON.stringify(l));
  }
  for (const m of sent.values()) {
    if (!shown.has(`${m.to} ${m.id}`)) say('not shown:', m.id, 'from', m.who, 'to', m.to, 'which was', states.get(m.id) ?? m.state);
    if (!kept.has(`${m.to} ${m.id}`)) say('not kept:', m.to, 'has', m.id, 'no more');
    if (kept.get(`${m.who} ${m.id}`)?.state !== 'read') say('not known as read:', m.id, 'by', m.who);
  }
  const check = new Proc(join(bin, 'peal-check'), ['-'], { input: jsonLines(records(lines)), name: 'peal-check' });
  if (await check.ended !== 0) wrong.push(`peal-check (${check.code}): ${check.out}${check.err}`);
  return wrong;
}

/** What happened, in numbers. */
export function summary(lines) {
  const n = {};
  for (const l of lines) {
    const key = l.op === 'register' || l.op === 'login' ? `${l.op} ${l.outcome}` : l.op === 'trouble' ? `trouble ${l.code}` : l.op;
    n[key] = (n[key] ?? 0) + 1;
  }
  return Object.entries(n).sort().map(([k, v]) => `${k} ${v}`).join(', ');
}

/** A ring of n whose servers keep their address and folder when they come back. Nobody has 127.0.0.1, where everybody's ports are. */
export async function foundRing(n, { folderOf = () => undefined } = {}) {
  const ring = new Ring(0);
  ring.servers = [...Array(n)].map((_, i) => new Server({ index: i + 2, key: ring.key, group: ring.group, replicas: 2 }));
  for (const s of ring.servers) s.data = folderOf(s.index) ?? s.data;
  ring.past = [];
  await Promise.all(ring.servers.map((s) => s.start()));
  for (const s of ring.servers) s.listen = s.address;
  await ring.whole();
  return ring;
}

/** Starts a server again; what its earlier run wrote is kept for the logs. */
export async function again(ring, server) {
  ring.past.push({ name: server.proc.name, err: server.proc.err });
  await server.start();
}

/** Does to the ring what the schedule says, never more than `most` servers down at a time: one that takes long to come back is waited for. */
export async function trouble(ring, history, plan, most) {
  const began = Date.now();
  const down = new Set();
  const failures = [];
  const back = async (i, ms) => {
    await pace(ms);
    await again(ring, ring.servers[i]);
    history.add('fault', { start: i });
    down.delete(i);
  };
  const coming = new Set();
  for (const step of plan) {
    await pace(Math.max(0, began + step.at - Date.now()));
    while (down.size > 0 && down.size + step.kill.length > most) await Promise.race(coming);
    if (failures.length > 0) break;
    const kill = step.kill.filter((i) => !down.has(i));
    history.add('fault', { kill, down: step.down });
    for (const i of kill) down.add(i);
    await Promise.all(kill.map((i) => ring.servers[i].kill()));
    for (const i of kill) {
      const c = back(i, step.down).catch((e) => failures.push(e)).finally(() => coming.delete(c));
      coming.add(c);
    }
  }
  await Promise.all(coming);
  if (failures.length > 0) throw failures[0];
}

/** One server after the other is stopped in good order and started again. */
export async function roll(ring, history) {
  for (const [i, s] of ring.servers.entries()) {
    history.add('fault', { stop: i });
    assert.equal(await s.stop(), 0, `server ${i} stops in good order`);
    await again(ring, s);
    history.add('fault', { start: i });
    await ring.whole();
  }
}

/** Where the logs of a run that failed are. */
export function keepLogs(ring, load, why) {
  const at = mkdtempSync(join(process.env.PEAL_LOGS ?? tmpdir(), `peal-failed-${load?.seed ?? 0}-`));
  mkdirSync(at, { recursive: true });
  writeFileSync(join(at, 'why'), `${why}\n`);
  if (load) {
    writeFileSync(join(at, 'said.jsonl'), jsonLines(load.history.lines));
    writeFileSync(join(at, 'history.jsonl'), jsonLines(records(load.history.lines)));
  }
  for (const s of ring?.servers ?? []) {
    const earlier = ring.past.filter((p) => p.name === s.proc?.name).map((p) => p.err);
    writeFileSync(join(at, `server${s.index}.log`), [...earlier, s.proc?.err ?? ''].join('---- started again ----\n'));
  }
  for (const p of load?.procs ?? []) if (p.err) writeFileSync(join(at, `client-${p.name}.log`), p.err, { flag: 'a' });
  return at;
}

/**
 * The whole story: a ring, people, what work does to it, and the judge. The logs are kept when anything goes wrong.
 * `strict`: nobody may be told that something cannot be done just now.
 */
export async function story({ servers, seed, work, strict = false, users = 8, rate = 30, ringOptions = {}, say = console.log, again: line }) {
  if (line) say(`again: ${line}`);
  let ring, load;
  try {
    ring = await foundRing(servers, ringOptions);
    load = new Load(ring, { seed, users });
    await load.begin();
    await load.during(() => work(ring, load), { rate });
    await ring.whole();
    await load.settle();
    await load.auditNames();
    await load.end();
    say(summary(load.history.lines));
    const wrong = await judge(load.history.lines, { strict });
    assert.deepEqual(wrong, [], wrong.join('\n'));
    const up = ring.up().length;
    assert.deepEqual(await ring.stop(), Array(up).fill(0), 'all stop in good order');
    return load.history.lines;
  } catch (e) {
    say(`the logs are in ${keepLogs(ring, load, e.stack)}`);
    throw e;
  } finally {
    await killAll();
  }
}

/** Servers are killed and started again, as the seed says, never more than K at once. */
export function killing({ servers, seconds, seed, most = 2, ...rest }) {
  return story({
    servers, seed, again: `node tests/e2e/chaos.mjs --servers ${servers} --seconds ${seconds} --seed ${seed}`, ...rest,
    work: (ring, load) => trouble(ring, load.history, schedule(seed, { servers, seconds, most }), most),
  });
}

/** Every server is stopped in good order and started again, one after the other, `rounds` times. */
export function rolling({ servers, seed, rounds = 1, ...rest }) {
  return story({
    servers, seed, strict: true, again: `node tests/e2e/chaos.mjs --rolling ${rounds} --servers ${servers} --seed ${seed}`, ...rest,
    work: async (ring, load) => { for (let i = 0; i < rounds; i++) await roll(ring, load.history); },
  });
}

async function main(args) {
  const given = { servers: 5, seconds: 60, seed: Math.floor(Math.random() * 2 ** 31), rolling: 0 };
  while (args.length > 0) {
    const key = args.shift().replace(/^--/, '');
    const value = args.shift();
    if (!(key in given) || !/^\d+$/.test(value ?? '')) {
      console.error('node tests/e2e/chaos.mjs [--servers N] [--seconds N] [--seed N] [--rolling ROUNDS]');
      return 2;
    }
    given[key] = Number(value);
  }
  try {
    await (given.rolling ? rolling({ ...given, rounds: given.rolling }) : killing(given));
    return 0;
  } catch (e) {
    console.error(e);
    return 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(await main(process.argv.slice(2)));
