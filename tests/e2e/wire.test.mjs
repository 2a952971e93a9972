// What passes the servers: every frame inside every link (each server has a tap before it, see tests/tap/tap.c), every file of theirs
// and every line they log. Names and sealed things are there, which shows that the search finds what is there; texts, passwords
// and private keys are not.
import assert from 'node:assert/strict';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bin, eventually, filesBelow, folder, killAll, Person, Proc, Ring, Server, ringKeyFile } from './lib.mjs';

const SERVERS = 3; // with K = 2 each is a home of everything, so that one that was dead has something to be repaired

// ---- a ring behind taps ----

/** Where a process listens, from the kernel: a server says it when it is a member, and becomes one through its tap. */
async function listensAt(pid) {
  const inodes = new Set();
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const m = /^socket:\[(\d+)\]$/.exec(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''));
    if (m) inodes.add(m[1]);
  }
  for (const line of (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1)) {
    const f = line.trim().split(/\s+/);
    if (f[3] !== '0A' || !inodes.has(f[9])) continue;
    const [ip, port] = f[1].split(':');
    return `${Buffer.from(ip, 'hex').reverse().join('.')}:${parseInt(port, 16)}`;
  }
  return undefined;
}

class TappedServer extends Server {
  constructor(opts) {
    super(opts);
    this.logs = [];
    this.dir = folder(`tap${opts.index}`);
    this.target = join(this.dir, 'target');
    this.record = join(this.dir, 'record');
    writeFileSync(join(this.data, 'node.key'), `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
  }

  async tap(all) {
    const peers = all.flatMap((s) => ['--peer', s.data]);
    this.tapProc = new Proc(join(bin, 'peal-tap'), ['--ring-key-file', this.opts.key, '--node', this.data, '--listen', `127.0.0.${this.index}:0`,
      '--target-file', this.target, '--out', this.record, ...peers], { name: `tap ${this.index}` });
    this.tapAddress = (await this.tapProc.match(/^ready listen=(\S+)$/m))[1];
  }

  async start(join) {
    this.opts.join = join;
    this.spawn(['--announce', this.tapAddress, '--log-level', 'debug']);
    this.logs.push(this.proc);
    this.listen = await eventually(() => listensAt(this.proc.child.pid), `server ${this.index} listens`);
    writeFileSync(this.target, `${this.listen}\n`);
    await this.ready();
    assert.equal(this.address, this.listen, 'ready says where it listens');
    this.address = this.tapAddress; // where everybody else finds it
    return this;
  }
}

/** Frames of a record: {back, alpn, type, body}; a frame that is being written at this moment is left out. */
function frames(server) {
  const b = existsSync(server.record) ? readFileSync(server.record) : Buffer.alloc(0);
  const list = [];
  for (let at = 0; at + 6 <= b.length;) {
    const n = b.readUInt32BE(at);
    if (at + 6 + n > b.length) break;
    const body = b.subarray(at + 6, at + 6 + n);
    list.push({ back: b[at + 4] === 1, alpn: b[at + 5], type: body.readUInt16BE(0), body });
    at += 6 + n;
  }
  return list;
}

// ---- what is looked for ----

const base64At = (bytes, shift) => {
  // what base64 of anything with these bytes in it, at this distance from a multiple of three, must contain
  const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64').replace(/=+$/, '');
  return text.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6));
};

/** The forms in which bytes could be written down. */
function forms(bytes) {
  const all = [['as they are', bytes], ['in hexadecimal', Buffer.from(bytes.toString('hex'))], ['in hexadecimal', Buffer.from(bytes.toString('hex').toUpperCase())]];
  for (const shift of [0, 1, 2]) {
    const b = base64At(bytes, shift);
    all.push(['in base64', Buffer.from(b)]);
    if (/[+/]/.test(b)) all.push(['in base64url', Buffer.from(b.replaceAll('+', '-').replaceAll('/', '_'))]);
  }
  return all;
}

/** Many needles at once: every offset's first four bytes are looked up in a table. */
class Needles {
  constructor() {
    this.table = new Map();
    this.first = new Uint8Array(65536);
    this.count = 0;
  }

  needle(what, bytes) {
    assert.ok(bytes.length >= 8, `long enough to mean something: ${what}`);
    const key = bytes.readUInt32BE(0);
    this.first[key >>> 16] = 1;
    if (!this.table.has(key)) this.table.set(key, []);
    this.table.get(key).push({ what, bytes });
    this.count++;
  }

  /** Pieces of `size` bytes, so that any run of twice that length is found, in every form. */
  pieces(what, bytes, size = 16) {
    for (let at = 0; at + size <= bytes.length; at += size) {
      for (const [form, b] of forms(bytes.subarray(at, at + size))) this.needle(`${what} (bytes ${at} and on, ${form})`, b);
    }
  }

  text(what, text) {
    const size = Math.min(24, Buffer.byteLength(text));
    this.pieces(what, Buffer.from(text), size);
    this.pieces(`${what} in UTF-16`, Buffer.from(text, 'utf16le'), 24);
    this.pieces(`${what} in UTF-16`, Buffer.from(text, 'utf16le').swap16(), 24);
    const escaped = Buffer.from(JSON.stringify(text).slice(1, -1).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`));
    if (escaped.length !== Buffer.byteLength(text)) this.pieces(`${what} escaped`, escaped, 24);
  }

  /** What of it is in the haystack. */
  found(haystack) {
    const seen = new Set();
    for (let at = 0; at + 8 <= haystack.length; at++) {
      if (!this.first[(haystack[at] << 8) | haystack[at + 1]]) continue;
      for (const n of this.table.get(haystack.readUInt32BE(at)) ?? []) {
        if (haystack.compare(n.bytes, 0, n.bytes.length, at, Math.min(at + n.bytes.length, haystack.length)) === 0) seen.add(n.what);
      }
    }
    return [...seen];
  }
}

function tool(...args) {
  let input;
  if (typeof args.at(-1) === 'object') ({ input } = args.pop());
  const p = new Proc(join(bin, 'peal-secrets'), args, { input, name: `peal-secrets ${args[0]}` });
  return p.ended.then((code) => {
    assert.equal(code, 0, p.err);
    return JSON.parse(p.out);
  });
}

// Fields of c_register, in the schema's order, after the number.
function readRegister(body) {
  let at = 2 + 8 + 16;
  const bytes = () => {
    const n = body.readUInt32BE(at);
    at += 4 + n;
    return body.subarray(at - n, at);
  };
  const u32 = () => body.readUInt32BE((at += 4) - 4);
  const m = { name: bytes().toString(), display: bytes().toString(), salt: bytes(), ops: u32(), mem: u32(), auth: bytes(), bundle: bytes(), wrapped: bytes(),
    recovery: bytes(), rescued: bytes() };
  assert.equal(at, body.length, 'c_register is of the form that this test knows');
  return m;
}

function recoveryBytes(text) {
  const digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  let n = 0n;
  for (const c of text.replaceAll('-', '')) n = n * 32n + BigInt(digits.indexOf(c));
  return Buffer.from(n.toString(16).padStart(40, '0'), 'hex');
}

// ---- the story ----

const C = { register: 70, login: 71, session: 73, send: 75, stored: 76, deliver: 78 };
const N = { hello: 1, regAccept: 13, setPut: 15, records: 24 };

const long = [...Array(700)].map((_, i) => `Line ${i} of the long letter: the cobalt heron ${i * 7919} waits below the weir.`).join('\n');
const texts = {
  ascii: 'The sealing wax lies under floorboard 7741, behind the barometer.',
  utf8: 'Grüße aus Łódź: 鐘の音が聞こえますか？ Ναι, ακούω την καμπάνα 🔔 4419.',
  long,
  answer: 'I have looked; there is only a dried newt and a tram ticket.',
  away: ['First letter to an empty house, about the quince harvest.', 'Second letter to an empty house, about the ferryman.', 'Third letter to an empty house, with 12 postage stamps.'],
  broken: ['Written while a server lay dead: the orchard gate is open.', 'Also written then: please bring the theodolite at dusk.'],
};
const everyText = Object.values(texts).flat();

let ring, alice, bob;
const ids = [];
const wrongPassword = 'this is not it: pewter spoon 9021';

async function say(from, to, text) {
  const r = await from.run('send', to, '-', { input: text });
  assert.equal(r.code, 0, r.out + r.err);
  assert.match(r.json[0].state, /^(stored|delivered|read)$/);
  ids.push(Buffer.from(r.json[0].id, 'hex'));
}

async function receives(person, want) {
  const got = [];
  await eventually(async () => {
    got.push(...(await person.run('recv', '--wait', '5')).json.map((m) => m.text));
    return got.length >= want.length;
  }, `${want.length} messages for ${person.name}`);
  assert.deepEqual(got, want);
}

before(async () => {
  const key = ringKeyFile();
  ring = new Ring(0);
  ring.servers = [...Array(SERVERS)].map((_, i) => new TappedServer({ index: i + 1, key }));
  for (const s of ring.servers) await s.tap(ring.servers);
  await ring.servers[0].start([]);
  for (const s of ring.servers.slice(1)) await s.start([ring.servers[0].tapAddress]);
  await ring.whole();
});

after(killAll);

test('people talk: online, away, on a new device, while a server is dead and comes back', async () => {
  alice = new Person('alice-of-the-weir', ring.servers.slice(0, 2));
  bob = new Person('bob-at-the-lock', ring.servers.slice(2));
  alice.password = 'Nine amber lanterns, and ünter the stairs 20';
  bob.password = 'bob keeps 44 turnips in the bell tower';
  for (const person of [alice, bob]) {
    const r = await person.register();
    assert.equal(r.code, 0, r.out + r.err);
    person.recovery = r.json[0].recovery;
    assert.match(person.recovery, /^([0-9A-HJKMNP-TV-Z]{4}-){7}[0-9A-HJKMNP-TV-Z]{4}$/);
  }

  const listening = bob.spawn('recv', '--follow');
  await eventually(async () => (await alice.run('status', bob.name)).json[0].online, 'bob is online');
  for (const t of [texts.ascii, texts.utf8, texts.long]) await say(alice, bob.name, t);
  await listening.until(() => listening.lines().length >= 3, 'three messages');
  assert.deepEqual(listening.lines().map((l) => JSON.parse(l).text), [texts.ascii, texts.utf8, texts.long]);
  await say(bob, alice.name, texts.answer);
  assert.equal(await listening.signal('SIGTERM'), 0);
  await receives(alice, [texts.answer]);

  for (const t of texts.away) await say(alice, bob.name, t);
  const device = new Person(bob.name, ring.servers.slice(1, 3));
  Object.assign(device, { password: bob.password, recovery: bob.recovery });
  assert.equal((await device.login(wrongPassword)).code, 1);
  assert.equal((await device.login()).code, 0, 'the keys come with the password');
  bob = device;
  await receives(bob, texts.away);

  const dead = ring.servers[2];
  await dead.kill();
  for (const t of texts.broken) await say(alice, bob.name, t);
  const before = frames(dead).length;
  await dead.start([]);
  await ring.whole();
  await eventually(async () => {
    const news = ring.servers.flatMap((s) => frames(s).slice(s === dead ? before : 0));
    await ring.whole();
    return news.some((f) => f.type === N.records);
  }, 'repair passes');
});

test('the search finds what is there: names, public keys, sealed keys, message ids, what proves the password', async () => {
  const all = ring.servers.flatMap(frames);
  const count = (type) => all.filter((f) => f.type === type).length;
  for (const [name, type] of [...Object.entries(C), ...Object.entries(N)]) assert.ok(count(type) > 0, `frames of ${name} (${type}) were seen`);
  assert.ok(count(C.send) >= everyText.length, 'every message was seen on its way');
  assert.ok(all.some((f) => f.alpn === 0) && all.some((f) => f.alpn === 1), 'links of servers and of clients');
  for (const s of ring.servers) assert.ok(frames(s).length > 20, `much passes tap ${s.index}`);

  const inside = Buffer.concat(ring.servers.map((s) => readFileSync(s.record)));
  const stores = ring.servers.map((s) => Buffer.concat(filesBelow(s.data).map((f) => f.bytes)));
  for (const person of [alice, bob]) {
    const register = all.filter((f) => f.type === C.register).map((f) => readRegister(f.body)).find((m) => m.name === person.name);
    const split = await tool('split', register.salt.toString('hex'), String(register.ops), String(register.mem), { input: person.password });
    assert.equal(register.auth.toString('hex'), split.auth, 'the half of the password that is shown is the one that this test computes');
    person.split = split;
    person.keys = await tool('keys', person.profile);
    const jwk = createPrivateKey({ key: Buffer.from(person.keys.rsa, 'hex'), format: 'der', type: 'pkcs1' }).export({ format: 'jwk' });
    person.rsa = Object.fromEntries(['n', 'd', 'p', 'q', 'dp', 'dq', 'qi'].map((k) => [k, Buffer.from(jwk[k], 'base64url')]));

    // pieces, since a file's pages may cut through a value
    for (const [what, bytes] of [['public key', person.rsa.n], ['sealed keys', register.wrapped], ['sealed keys under the recovery key', register.rescued]]) {
      const known = new Needles();
      known.pieces(what, bytes);
      for (const hay of [inside, Buffer.concat(stores)]) {
        const found = known.found(hay).filter((w) => w.endsWith('as they are)')).length;
        assert.ok(found >= Math.floor(bytes.length / 16) - 2, `${found} pieces of the ${what} of ${person.name}`);
        assert.ok(hay.includes(person.name), 'the name');
      }
    }
  }
  for (const id of ids) assert.ok(inside.includes(id), 'the id of each message');
  for (const id of ids.slice(-texts.broken.length)) {
    assert.ok(stores.filter((b) => b.includes(id)).length >= 2, 'a waiting message is in the files of two servers or more');
  }
});

test('no text, no password, no private key: not inside the links, not in a file, not in a log', async () => {
  const secret = new Needles();
  everyText.forEach((t, i) => secret.text(`text ${i}`, t));
  secret.text('the wrong password', wrongPassword);
  const onDisk = new Needles();
  for (const person of [alice, bob]) {
    secret.text(`the password of ${person.name}`, person.password);
    secret.text(`the recovery key of ${person.name}`, person.recovery);
    secret.text(`the recovery key of ${person.name}, in one`, person.recovery.replaceAll('-', ''));
    secret.pieces(`the recovery key of ${person.name}, as bytes`, recoveryBytes(person.recovery));
    secret.pieces(`the wrapping key of ${person.name}`, Buffer.from(person.split.wrap, 'hex'));
    secret.pieces(`the Ed25519 seed of ${person.name}`, Buffer.from(person.keys.seed, 'hex'));
    secret.pieces(`the device key of ${person.name}`, Buffer.from(person.keys.device, 'hex'));
    for (const k of ['d', 'p', 'q', 'dp', 'dq', 'qi']) secret.pieces(`RSA ${k} of ${person.name}`, person.rsa[k]);
    onDisk.pieces(`what proves the password of ${person.name}`, Buffer.from(person.split.auth, 'hex'));
  }
  for (const s of ring.servers) {
    const places = [...filesBelow(s.data), ...s.logs.map((p, i) => ({ path: `log ${i}`, bytes: Buffer.from(p.err + p.out) }))];
    assert.ok(places.some((f) => f.path.endsWith('.db')) && places.at(-1).bytes.length > 100);
    assert.deepEqual(secret.found(readFileSync(s.record)), [], `inside the links of server ${s.index}`);
    for (const f of places) assert.deepEqual([...secret.found(f.bytes), ...onDisk.found(f.bytes)], [], f.path);
  }
  await receives(bob, texts.broken);
  assert.deepEqual(await ring.stop(), Array(SERVERS).fill(0));
  for (const s of ring.servers) {
    for (const f of filesBelow(s.data)) assert.deepEqual([...secret.found(f.bytes), ...onDisk.found(f.bytes)], [], `${f.path} at the end`);
    assert.deepEqual(secret.found(readFileSync(s.record)), [], `inside the links of server ${s.index}, at the end`);
  }
});

test('the search would have found it: every form of a planted text and key', () => {
  const text = texts.utf8;
  const key = alice.rsa.d;
  const n = new Needles();
  n.text('text', text);
  n.pieces('key', key);
  const around = (b) => Buffer.concat([randomBytes(101), b, randomBytes(57)]);
  const planted = [Buffer.from(text), Buffer.from(text, 'utf16le'), Buffer.from(text, 'utf16le').swap16(), key.subarray(5, 5 + 31),
    Buffer.from(JSON.stringify({ text })), Buffer.from(key.toString('hex'))];
  for (const shift of [0, 1, 2]) {
    for (const form of ['base64', 'base64url']) planted.push(Buffer.from(Buffer.concat([Buffer.alloc(shift, 0x5a), Buffer.from(text)]).toString(form)));
  }
  for (const p of planted) assert.ok(n.found(around(p)).length > 0, p.toString('latin1').slice(0, 60));
  assert.deepEqual(n.found(randomBytes(1 << 20)), []);
});
