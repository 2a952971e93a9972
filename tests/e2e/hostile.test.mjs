// Bad input at every port while two people talk: each piece of it ends its own link, with a reason in the log, and nobody else notices.
// Wrong passwords, and words out of form, as well. Full disks and mailboxes: full.test.mjs.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, before, test } from 'node:test';
import { setTimeout as pace } from 'node:timers/promises';
import tls from 'node:tls';
import { eventually, killAll, PATIENCE, Person, Ring } from './lib.mjs';

const FRAME_MAX = 256 * 1024;
const CODE = { VERSION: 6, AUTH: 10, BUSY: 18 };

// ---- strangers ----

const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };
const u16 = (n) => { const b = Buffer.alloc(2); b.writeUInt16BE(n); return b; };
const frame = (payload) => { const b = Buffer.from(payload); return Buffer.concat([u32(b.length), b]); };
const json = (o) => frame(JSON.stringify(o));
const HELLO = { t: 'c_hello', version: 1, agent: 'hostile/1' };
const escape = (s) => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Somebody who connects; `over` resolves when the server has ended the connection. */
class Stranger {
  static strangers = new Set();

  constructor(server, socket) {
    this.server = server;
    this.socket = socket;
    this.got = Buffer.alloc(0);
    this.frames = [];
    this.wake = () => {};
    Stranger.strangers.add(this);
    socket.on('error', (e) => { this.error = e; });
    this.over = new Promise((resolve) => {
      socket.on('close', () => {
        this.ended = true;
        Stranger.strangers.delete(this);
        this.wake();
        resolve();
      });
    });
    socket.on('end', () => this.socket.destroy());
  }

  static async tcp(server) {
    const [host, port] = server.address.split(':');
    const s = net.connect({ host, port: Number(port), allowHalfOpen: true });
    await new Promise((resolve, reject) => { s.once('connect', resolve).once('error', reject); });
    const it = new Stranger(server, s);
    it.local = `${s.localAddress}:${s.localPort}`;
    s.on('data', () => {});
    return it;
  }

  static async tls(server, alpn, options = {}) {
    const [host, port] = server.address.split(':');
    const s = tls.connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: [alpn], ...options });
    await new Promise((resolve, reject) => { s.once('secureConnect', resolve).once('error', reject); });
    const it = new Stranger(server, s);
    it.local = `${s.localAddress}:${s.localPort}`;
    if (!options.deaf) s.on('data', (d) => it.#take(d));
    return it;
  }

  #take(d) {
    this.got = Buffer.concat([this.got, d]);
    while (this.got.length >= 4 && this.got.length >= 4 + this.got.readUInt32BE(0)) {
      const n = this.got.readUInt32BE(0);
      this.frames.push(this.got.subarray(4, 4 + n));
      this.got = this.got.subarray(4 + n);
    }
    this.wake();
  }

  write(bytes) { this.socket.write(bytes, () => {}); return this; }

  /** Next frame of these messages (JSON links). */
  async hear(...types) {
    for (;;) {
      while (this.frames.length > 0) {
        const m = JSON.parse(this.frames.shift());
        if (types.includes(m.t)) return m;
      }
      assert.ok(!this.ended, `the link ended before ${types}`);
      await new Promise((resolve) => { this.wake = resolve; });
    }
  }

  async say(message, ...answers) {
    this.write(json(message));
    return this.hear(...answers);
  }

  static async greeted(server) {
    const s = await Stranger.tls(server, 'peal-json/1');
    await s.say(HELLO, 'c_welcome');
    return s;
  }

  /** The server ends this link, and its log says so with this reason. */
  async isRefused(reason) {
    await within(this.over, `the server ends the link of ${this.local} (${reason})`);
    await this.server.proc.match(new RegExp(`(closing )?${escape(this.local)}( is down| was refused)?: .*(${reason.source})`), { from: 'err' });
  }
}

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`in vain: ${what}`)), PATIENCE); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** An account that only knows the protocol: enough to hold a session. */
async function account(server, name) {
  const s = await Stranger.greeted(server);
  const me = { name, auth: randomBytes(32).toString('base64url') };
  const r = await s.say({
    t: 'c_register', req: '1', req_id: randomBytes(16).toString('hex'), name, display: name, salt: randomBytes(16).toString('base64url'), ops: 2,
    mem_kib: 19456, auth: me.auth, bundle: randomBytes(300).toString('base64url'), wrapped: randomBytes(300).toString('base64url'),
    recovery: '', rescued: '',
  }, 'c_session', 'c_error');
  assert.equal(r.t, 'c_session', JSON.stringify(r));
  return { ...me, link: s };
}

const login = (s, name, auth) => s.say({ t: 'c_login', req: '7', req_id: randomBytes(16).toString('hex'), name, auth }, 'c_session', 'c_error');

// ---- two people, talking all the while ----

let ring, alice, bob, talk;
const rss = (proc) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${proc.child.pid}/status`, 'utf8'))[1]) * 1024;

class Talk {
  constructor() {
    this.inbox = { bob: bob.spawn('recv', '--follow'), alice: alice.spawn('recv', '--follow') };
    this.said = { alice: [], bob: [] };
    this.running = true;
    this.done = this.#go();
    this.done.catch(() => {}); // whoever awaits it hears of it
  }

  async #go() {
    for (let i = 0; this.running; i++) {
      const [from, to] = i % 2 ? [alice, bob] : [bob, alice];
      const text = `${from.name} says the ${i}th thing`;
      const r = await from.run('send', to.name, text);
      assert.equal(r.code, 0, `while strangers do what they do: ${r.out}${r.err}`);
      this.said[from.name].push(text);
    }
  }

  received(name) { return this.inbox[name].lines().map((l) => JSON.parse(l).text); }

  /** Whatever was said up to now, and two more each way, arrives. */
  async goesOn() {
    const want = { alice: this.said.bob.length + 2, bob: this.said.alice.length + 2 };
    await Promise.race([this.done, Promise.all(['alice', 'bob'].map((n) => this.inbox[n].until(() => this.inbox[n].lines().length >= want[n], `${want[n]} messages for ${n}`)))]);
    for (const s of ring.servers) assert.equal(s.proc.code, undefined, `server ${s.index} lives`);
  }

  async end() {
    this.running = false;
    await this.done;
    for (const [to, from] of [['alice', 'bob'], ['bob', 'alice']]) {
      await this.inbox[to].until(() => this.inbox[to].lines().length >= this.said[from].length, `all messages for ${to}`);
      assert.deepEqual(this.received(to), this.said[from], `each once, in order, for ${to}`);
      assert.equal(await this.inbox[to].signal('SIGTERM'), 0);
    }
  }
}

let sizeAtFirst;
before(async () => {
  ring = await Ring.start(3);
  alice = new Person('alice', ring.servers);
  bob = new Person('bob', ring.servers.slice().reverse());
  assert.equal((await alice.register()).code, 0);
  assert.equal((await bob.register()).code, 0);
  talk = new Talk();
  await talk.goesOn();
  sizeAtFirst = ring.servers.map((s) => rss(s.proc));
});

after(async () => {
  for (const s of Stranger.strangers) s.socket.destroy();
  await killAll();
});

/** Memory may grow with what is being held, within the bounds of peal/net.h, and by nothing like what was thrown at it. */
function memoryIsBounded() {
  ring.servers.forEach((s, i) => {
    const grown = rss(s.proc) - sizeAtFirst[i];
    assert.ok(grown < 64 << 20, `server ${s.index} has grown by ${grown >> 20} MiB`);
  });
}

// ---- passwords ----

// The minute after which the right one works again is spent with the other tests; the last but one looks.
let guessed;

test('wrong passwords: after the tenth the account rests there; elsewhere the right one works', async () => {
  const [first, second] = ring.servers;
  guessed = await account(first, 'guessed');
  guessed.link.socket.destroy();
  const person = new Person('guessed-too', [first]);
  assert.equal((await person.register()).code, 0);
  const guess = async () => {
    const s = await Stranger.greeted(first);
    const r = await login(s, 'guessed', randomBytes(32).toString('base64url'));
    s.socket.destroy();
    assert.equal(r.t, 'c_error');
    return r;
  };
  let wrong = 0;
  let r = await guess();
  for (; r.code === CODE.AUTH && wrong <= 20; r = await guess()) {
    assert.match(r.message, /password/);
    wrong++;
  }
  assert.equal(r.code, CODE.BUSY, 'not for ever');
  assert.ok(wrong >= 10 && wrong <= 20, `${wrong} wrong ones (twice ten when the minute turned meanwhile)`);
  assert.match(r.hint, /minute/);

  const tries = await Stranger.greeted(second);
  assert.equal((await login(tries, 'guessed', guessed.auth)).t, 'c_session', 'at another server the owner gets in');
  tries.socket.destroy();

  let told;
  for (let i = 0; i <= 20 && told?.code !== 'busy'; i++) {
    const p = await person.login(`guess ${i}`);
    assert.equal(p.code, 1, p.out + p.err);
    told = p.json[0].error;
  }
  assert.equal(told.code, 'busy');
  assert.match(told.hint, /minute/);
  assert.equal((await new Person('guessed-too', [second]).login(person.password)).code, 0);
  await talk.goesOn();
});

// ---- the servers' port ----

test('no TLS, or not ours: refused before a word', async () => {
  const [s] = ring.servers;
  for (const bytes of [randomBytes(4096), Buffer.from('GET / HTTP/1.1\r\nHost: peal\r\n\r\n'), Buffer.from('EHLO there\r\n'), Buffer.alloc(70_000, 0x16)]) {
    const it = await Stranger.tcp(s);
    it.write(bytes);
    await it.isRefused(/TLS/);
  }
  const half = await Stranger.tcp(s);
  half.socket.end(Buffer.from([0x16, 0x03, 0x01]));
  await within(half.over, 'a connection that ends in its handshake is let go');
  for (const [options, reason] of [
    [{ maxVersion: 'TLSv1.2', minVersion: 'TLSv1.2' }, /TLS/],
    [{ ALPNProtocols: ['h2', 'http/1.1'] }, /TLS|ALPN|protocol/],
    [{ ALPNProtocols: undefined }, /TLS|ALPN|protocol/],
  ]) {
    const was = s.proc.err.length;
    await assert.rejects(Stranger.tls(s, 'peal-bin/1', options).then((it) => within(it.over, 'ends').then(() => { throw new Error('ended'); })));
    await s.proc.match(new RegExp(`127\\.0\\.0\\.1:\\d+ was refused: .*(${reason.source})`), { from: 'err', after: was });
  }
  await talk.goesOn();
});

test('a server without a certificate of the ring is refused', async () => {
  const [s] = ring.servers;
  const it = await Stranger.tls(s, 'peal-node/1');
  await it.isRefused(/certificate/);
  await talk.goesOn();
});

test('frames that are none: random, empty, too long, cut off, unknown, not for clients, with something left over', async () => {
  const [, s] = ring.servers;
  const hello = Buffer.concat([u16(64), u16(1), u32(1), Buffer.from('x')]);
  for (const [bytes, reason] of [
    [u32(0), /empty/],
    [u32(0xffffffff), /4294967295/],
    [u32(FRAME_MAX + 1), /262145/],
    [frame(randomBytes(300)), /read|clients/],
    [frame(randomBytes(FRAME_MAX)), /read|clients/],
    [frame([0]), /read/],
    [frame(u16(0xfffe)), /read/],
    [frame(u16(63)), /read/],
    [frame(Buffer.concat([hello, Buffer.from([0])])), /read/],
    [frame(hello.subarray(0, hello.length - 1)), /read/],
    [frame(Buffer.concat([u16(64), u16(1), u32(0xffffffff), Buffer.from('x')])), /read/],
    [frame(Buffer.concat([u16(64), u16(1), u32(1), Buffer.from([0xff])])), /read/],
    [frame(Buffer.concat([u16(65), Buffer.alloc(60)])), /read|clients/],
    [frame(Buffer.concat([u16(2), Buffer.alloc(120)])), /read|clients/],
    [frame(Buffer.concat([u16(36), Buffer.alloc(20 + 8 + 8 + 20)])), /clients/],
  ]) {
    const it = await Stranger.tls(s, 'peal-bin/1');
    it.write(bytes);
    await it.isRefused(reason);
  }
  for (let i = 0; i < 64; i++) {
    const it = await Stranger.tls(s, 'peal-bin/1');
    it.write(Buffer.concat([frame(hello), randomBytes(1 + i * 16)]));
    it.socket.end();
    await within(it.over, 'whatever it was, it ends');
  }
  await talk.goesOn();
  memoryIsBounded();
});

test('JSON that is none, and messages that are not of their form', async () => {
  const [, , s] = ring.servers;
  const good = JSON.stringify(HELLO);
  for (const text of ['', ' ', '{', 'null', '[]', '42', '"c_hello"', '{}', '{"t":"c_nothing"}', '{"t":7}', `[${good}]`, `${good}${good}`, good.replace('1,', '65536,'),
    good.replace('1,', '-1,'), good.replace('1,', '1.5,'), good.replace('1,', '"1",'), good.replace('1,', 'true,'), '{"t":"c_hello","version":1}',
    good.replace('}', ',"more":1}'), good.replace('}', ',"version":1}'), good.replace('hostile', 'ho\\u0000stile'), good.replace('hostile', '\\ud800'),
    good.replace('hostile', 'x'.repeat(65)), '['.repeat(200_000), `${'{"t":'.repeat(40_000)}`, '{"t":"n_ping"}', 'x'.repeat(FRAME_MAX)]) {
    const it = await Stranger.tls(s, 'peal-json/1');
    it.write(text === '' ? u32(0) : frame(text));
    await it.isRefused(/./);
  }
  const it = await Stranger.tls(s, 'peal-json/1');
  it.write(frame(Buffer.concat([Buffer.from('{"t":"c_hello","version":1,"agent":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')])));
  await it.isRefused(/./);
  await talk.goesOn();
  memoryIsBounded();
});

test('words at the wrong time, another version, and too many questions', async () => {
  const [s] = ring.servers;
  const id = '0'.repeat(32);
  const send = { t: 'c_send', id, name: 'bob', kind: 1, body: 'AAAA' };
  for (const [first, then, reason] of [
    [null, send, /c_send: not at this point/],
    [null, { t: 'c_find', req: '1', name: 'bob' }, /c_find: not at this point/],
    [null, { t: 'c_ring_get', req: '1', observe: true }, /not at this point/],
    [HELLO, HELLO, /c_hello: not at this point/],
    [HELLO, send, /c_send: not at this point/],
    [HELLO, { t: 'c_ack', ids: [id] }, /not at this point/],
    [HELLO, { t: 'c_watch', names: [] }, /not at this point/],
    [HELLO, { t: 'c_logout', req: '1' }, /not at this point/],
    [HELLO, { t: 'c_bye', code: 0, message: '' }, /not for clients/],
    [HELLO, { t: 'c_stored', ids: [] }, /not for clients/],
    [HELLO, { t: 'c_deliver', rows: [] }, /not for clients/],
    [HELLO, { t: 'm_probe', version: 1 }, /not for clients/],
  ]) {
    const it = await Stranger.tls(s, 'peal-json/1');
    if (first) await it.say(first, 'c_welcome');
    it.write(json(then));
    await it.isRefused(reason);
  }
  for (const version of [0, 2, 65535]) {
    const it = await Stranger.tls(s, 'peal-json/1');
    const bye = await it.say({ ...HELLO, version }, 'c_bye');
    assert.equal(bye.code, CODE.VERSION);
    assert.match(bye.message, /version/);
    await it.isRefused(/version/);
  }
  const curious = await Stranger.greeted(s);
  for (let i = 0; i < 200; i++) curious.write(json({ t: 'c_find', req: String(i), name: `nobody${i}` }));
  await curious.isRefused(/too many requests/);
  const twice = await Stranger.greeted(s);
  const guess = json({ t: 'c_login', req: '1', req_id: id, name: 'bob', auth: randomBytes(32).toString('base64url') });
  twice.write(Buffer.concat([guess, guess]));
  await twice.isRefused(/twice/);
  await talk.goesOn();
});

test('what is out of form but readable gets an answer, and the link stays', async () => {
  const [s] = ring.servers;
  const it = await Stranger.greeted(s);
  for (const name of ['BOB', 'a b', '../bob', 'x'.repeat(33), '\u202ebob', 'bob\n', 'ﬁsh', 'é'.normalize('NFD'), '']) {
    const r = await it.say({ t: 'c_find', req: '5', name }, 'c_error', 'c_user');
    assert.equal(r.t, 'c_error', `${JSON.stringify(name)} is not canonical`);
    assert.equal(r.req, '5');
    assert.ok(r.message && r.hint, 'says why, and what to do');
  }
  const r = await it.say({ t: 'c_resume', req: '6', name: 'bob', token: 'AAAA' }, 'c_error', 'c_session');
  assert.equal(r.t, 'c_error');
  const them = await account(s, 'formless');
  for (const bad of [{ kind: 0 }, { kind: 9 }, { body: '' }, { name: 'BOB' }]) {
    const id = randomBytes(16).toString('hex');
    const u = await them.link.say({ t: 'c_send', id, name: 'bob', kind: 1, body: 'AAAA', ...bad }, 'c_unsent', 'c_stored');
    assert.equal(u.t, 'c_unsent', JSON.stringify(bad));
    assert.equal(u.id, id);
    assert.ok(u.message && u.hint);
  }
  assert.equal((await them.link.say({ t: 'c_ping', nonce: '3' }, 'c_pong')).nonce, '3', 'the link stays');
  it.socket.destroy();
  them.link.socket.destroy();
  await talk.goesOn();
});

test('slow and silent ones: half-open, nothing said, one byte at a time, three hundred at once; and who comes anew gets in', async () => {
  const [s] = ring.servers;
  const halves = await Promise.all([...Array(300)].map(() => Stranger.tcp(s)));
  halves.forEach((h) => h.write(Buffer.from([0x16])));
  const idle = []; // in bunches: of more handshakes at a time than NET_HALF_OPEN_MAX the oldest would give way
  for (let i = 0; i < 6; i++) idle.push(...await Promise.all([...Array(50)].map(() => Stranger.tls(s, 'peal-bin/1'))));
  const silent = await Stranger.greeted(s);
  const promising = await Stranger.greeted(s);
  promising.write(u32(FRAME_MAX)).write(randomBytes(1000));

  const slow = await Stranger.tls(s, 'peal-json/1');
  for (const byte of json(HELLO)) await new Promise((resolve) => { slow.socket.write(Buffer.from([byte]), resolve); });
  assert.equal((await slow.hear('c_welcome')).version, 1, 'slow is not wrong');
  slow.socket.destroy();

  const newcomer = new Person('newcomer', [s]);
  assert.equal((await newcomer.register()).code, 0, 'there is room for a newcomer');
  await talk.goesOn();
  memoryIsBounded();

  await Promise.all([
    ...halves.map((h) => h.isRefused(/handshake took too long|gave way/)),
    ...idle.map((i) => i.isRefused(/said nothing/)),
    silent.isRefused(/heartbeat/),
    promising.isRefused(/heartbeat/),
  ]);
  await talk.goesOn();
});

test('a reader that does not read is let go when its queue is full', async () => {
  const [, s] = ring.servers;
  const them = await account(s, 'deaf');
  them.link.socket.pause();
  const question = Buffer.concat([...Array(200)].map((_, i) => json({ t: 'c_ring_get', req: String(i), observe: false })));
  const flood = (async () => {
    for (let failed; !failed;) failed = await new Promise((resolve) => { them.link.socket.write(question, resolve); });
  })();
  await s.proc.match(new RegExp(`${escape(them.link.local)} is down: .*slow reader`), { from: 'err' });
  memoryIsBounded();
  them.link.socket.destroy();
  await flood;
  await talk.goesOn();
});

test('datagrams at the multicast group that mean nothing', async () => {
  const [group, port] = ring.group.split(':');
  const socket = dgram.createSocket('udp4');
  await new Promise((resolve) => { socket.bind(0, resolve); });
  const interfaces = Object.values(networkInterfaces()).flat().filter((i) => i.family === 'IPv4').map((i) => i.address);
  const say = async (b) => {
    for (const i of interfaces) {
      socket.setMulticastInterface(i);
      await new Promise((resolve) => { socket.send(b, Number(port), group, resolve); }); // an interface that takes none is no matter
    }
  };
  const beacon = (n) => Buffer.concat([Buffer.from('PEAL\u0001'), randomBytes(n)]);
  const was = ring.servers.map((s) => s.proc.err.length);
  for (let i = 0; i < 200; i++) {
    for (const b of [Buffer.alloc(0), randomBytes(1 + i), randomBytes(1400), randomBytes(9000), randomBytes(60_000), Buffer.from('PEAL'), Buffer.from('PEAL\u0002'),
      beacon(0), beacon(40), beacon(1200), Buffer.concat([u16(113), u16(2)]), Buffer.concat([u16(113), u16(1), randomBytes(3)]), u16(114)]) await say(b);
  }
  await Promise.all(ring.servers.map((s, i) => s.proc.match(/beacon from .* cannot be read/, { from: 'err', after: was[i] })));
  socket.close();
  await ring.whole();
  await talk.goesOn();
  memoryIsBounded();
});

// ---- the page's port ----

test('the page of a client: who may call, and what is refused how', async () => {
  const carol = new Person('carol', ring.servers);
  assert.equal((await carol.register()).code, 0);
  const url = new URL(await carol.web());
  const token = /[0-9a-f]{32}/.exec(await (await fetch(url)).text())[0];
  const call = (path, { method = 'POST', headers = {}, body } = {}) => new Promise((resolve, reject) => {
    const r = http.request({ host: url.hostname, port: url.port, path, method, agent: false,
      headers: { Host: url.host, 'Content-Type': 'application/json', 'X-Peal-Token': token, ...headers } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (d) => { text += d; }).on('end', () => resolve({ status: answer.statusCode, text, type: answer.headers['content-type'] }));
    });
    r.on('error', reject);
    r.end(body);
  });
  const length = (b) => ({ 'Content-Length': String(Buffer.byteLength(b)) });
  const good = await call('/api/whoami', { headers: length('{}'), body: '{}' });
  assert.equal(good.status, 200, good.text);
  assert.equal(JSON.parse(good.text).name, 'carol');

  const text = (n) => JSON.stringify({ to: 'bob', text: 'y'.repeat(n) });
  for (const [what, status, path, options] of [
    ['another host', 403, '/api/whoami', { headers: { Host: 'evil.example' }, body: '{}' }],
    ['another port', 403, '/api/whoami', { headers: { Host: '127.0.0.1:1' }, body: '{}' }],
    ['another page', 403, '/api/whoami', { headers: { Origin: 'http://evil.example' }, body: '{}' }],
    ['an opaque page', 403, '/api/whoami', { headers: { Origin: 'null' }, body: '{}' }],
    ['no token', 403, '/api/whoami', { headers: { 'X-Peal-Token': '' }, body: '{}' }],
    ['a wrong token', 403, '/api/whoami', { headers: { 'X-Peal-Token': '0'.repeat(32) }, body: '{}' }],
    ['the stream without a token', 403, '/api/events', { method: 'GET' }],
    ['another host, the page itself', 403, '/', { method: 'GET', headers: { Host: 'evil.example' } }],
    ['a form', 415, '/api/send', { headers: { 'Content-Type': 'text/plain' }, body: '{}' }],
    ['a command by GET', 405, '/api/whoami', { method: 'GET' }],
    ['no such page', 404, '/etc/passwd', { method: 'GET' }],
    ['no such page', 404, '/../../etc/passwd', { method: 'GET' }],
    ['no such command', 404, '/api/No%20Such', { body: '{}' }],
    ['no such command', [400, 404], '/api/frobnicate', { body: '{}' }],
    ['too long', 413, '/api/send', { headers: { 'Content-Length': String(1 << 20) }, body: Buffer.alloc(1 << 20, 'x') }],
    ['of unknown length', 411, '/api/send', { headers: { 'Transfer-Encoding': 'chunked' }, body: '{}' }],
    ['no JSON', 400, '/api/send', { body: '{' }],
    ['an array', 400, '/api/send', { body: '[]' }],
    ['twice the same', 400, '/api/send', { body: '{"to":"bob","to":"alice","text":"x"}' }],
    ['deep', 400, '/api/send', { body: '['.repeat(60_000) }],
    ['no UTF-8', 400, '/api/send', { body: Buffer.from('{"to":"bob","text":"\xff\xfe"}', 'latin1') }],
    ['nothing said', 400, '/api/send', { body: '{}' }],
    ['of a wrong kind', 400, '/api/send', { body: '{"to":7,"text":[]}' }],
    ['an empty text', 400, '/api/send', { body: '{"to":"bob","text":""}' }],
    ['a text too long', 400, '/api/send', { body: text(70_000) }],
    ['a name out of form', 400, '/api/send', { body: '{"to":"no such name!","text":"x"}' }],
    ['an unknown name', 404, '/api/status', { body: '{"name":"nobody-here"}' }],
  ]) {
    const headers = { ...(options.body && !options.headers?.['Transfer-Encoding'] ? length(options.body) : {}), ...options.headers };
    const r = await call(path, { ...options, headers }).catch((e) => ({ status: `${what}: ${e.message}` }));
    assert.ok([status].flat().includes(r.status), `${what}: ${r.status} ${r.text}`);
    const { error } = JSON.parse(r.text);
    assert.ok(error.code && error.message && 'hint' in error, `${what}: ${r.text}`);
  }
  // The page's send answers at once, with the message on disk; that there is nobody of that name is known later, and shown.
  const post = (path, body) => call(path, { body, headers: length(body) });
  assert.equal(JSON.parse((await post('/api/send', '{"to":"nobody-here","text":"x"}')).text).state, 'queued');
  await eventually(async () => JSON.parse((await post('/api/history', '{"name":"nobody-here"}')).text).messages[0].state === 'failed',
    'a message to nobody is shown as failed');

  // what is not even HTTP
  for (const bytes of [randomBytes(3000), Buffer.from('GET / HTTP/9.9\r\n\r\n'), Buffer.from(`GET / HTTP/1.1\r\nHost: ${url.host}\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`)]) {
    const it = await Stranger.tcp({ address: url.host });
    it.write(bytes);
    it.socket.end();
    await within(it.over, 'the page ends the connection');
  }
  const lists = JSON.parse((await call('/api/history', { headers: length('{"name":"bob"}'), body: '{"name":"bob"}' })).text);
  assert.deepEqual(lists.messages, [], 'nothing of it was kept');
  assert.equal((await call('/api/whoami', { headers: length('{}'), body: '{}' })).status, 200, 'and it goes on');
  assert.equal(await carol.page.signal('SIGTERM'), 0);
  await talk.goesOn();
});

test('envelopes and receipts that are none: the client goes on and says nothing false', async () => {
  const [s] = ring.servers;
  const them = await account(s, 'forger');
  const dora = new Person('dora', ring.servers);
  assert.equal((await dora.register()).code, 0);
  for (let i = 0; i < 6; i++) {
    const body = [randomBytes(1), randomBytes(3000), Buffer.concat([Buffer.from([1]), randomBytes(1200)])][i % 3];
    const u = await them.link.say({ t: 'c_send', id: randomBytes(16).toString('hex'), name: 'dora', kind: 1 + (i % 2), body: body.toString('base64url') }, 'c_stored', 'c_unsent');
    assert.equal(u.t, 'c_stored', 'a server does not look into it');
  }
  assert.equal((await bob.run('send', 'dora', 'a real one')).code, 0);
  const got = [];
  await eventually(async () => {
    got.push(...(await dora.run('recv', '--wait', '3')).json);
    return got.some((m) => m.text === 'a real one');
  }, 'the real one');
  for (const m of got) assert.ok(m.text === 'a real one' || m.state === 'unreadable', JSON.stringify(m));
  them.link.socket.destroy();
  await talk.goesOn();
});

// ---- the command line ----

test('names and texts out of form: a clear error, and nothing is sent', async () => {
  const eve = new Person('eve', ring.servers);
  assert.equal((await eve.register()).code, 0);
  for (const name of ['', ' ', 'x'.repeat(33), 'a b', '../etc/passwd', 'a/b', 'a@b', 'smile😀', '\u202eevil', 'tab\there']) {
    for (const args of [['send', name, 'x'], ['status', name], ['history', name]]) {
      const r = await eve.run(...args);
      assert.ok(r.code === 1 || r.code === 2, `${JSON.stringify(args)}: ${r.code} ${r.out}${r.err}`);
      assert.match(r.json[0].error.message, /name/i, JSON.stringify(args));
    }
    const r = await new Person('nameless', ring.servers).run('register', name, '--password-file', '-', { input: 'a good password\n' });
    assert.ok(r.code === 1 || r.code === 2, `register ${JSON.stringify(name)}: ${r.code}`);
    assert.match(r.json[0].error.message, /name/i);
  }
  let r = await eve.run('send', 'bob', '-', { input: 'z'.repeat(65_537) });
  assert.equal(r.code, 1);
  assert.equal(r.json[0].error.code, 'too_long');
  r = await eve.run('send', 'bob', '-', { input: '' });
  assert.notEqual(r.code, 0);
  assert.match(r.json[0].error.message, /empty/);
  assert.deepEqual((await eve.run('history', 'bob')).json, []);
  await talk.goesOn();
});

test('a minute after the wrong passwords the right one works where they were tried, too', async () => {
  const [first] = ring.servers;
  const end = Date.now() + 2 * PATIENCE;
  let r = { t: '' };
  for (; r.t !== 'c_session' && Date.now() < end; await pace(500)) {
    const s = await Stranger.greeted(first);
    r = await login(s, 'guessed', guessed.auth);
    s.socket.destroy();
  }
  assert.equal(r.t, 'c_session', 'when the minute is over the owner gets in here too');
  await talk.goesOn();
});

test('all the while nothing was lost, and the servers leave in good order', async () => {
  await talk.end();
  assert.deepEqual(await ring.stop(), [0, 0, 0]);
});
