// What a server does about its own disk, with real processes: a damaged database, a disk that can no longer be written, backups.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { bin, eventually, folder, killAll, peal, Person, Proc, ringKeyFile, Ring, Server } from './lib.mjs';

after(async () => {
  await killAll();
  for (const path of Disk.mounted) spawnSync('umount', ['-l', path]);
});

const PAGE = 8192;
const db = (s) => join(s.data, 'peald.db');
const peald = (...args) => new Proc(join(bin, 'peald'), args, { name: `peald ${args.join(' ')}` });

/** Runs peald's command line to its end. */
async function run(...args) {
  const p = peald(...args);
  const code = await p.ended;
  return { code, out: p.out, err: p.err };
}

/** Overwrites some bytes in every n-th page from `first` on; how many. */
function damage(file, first, step) {
  let places = 0;
  const fd = openSync(file, 'r+');
  for (let at = first * PAGE; at < statSync(file).size; at += step * PAGE) {
    writeSync(fd, randomBytes(96), 0, 96, at + 3);
    places += 1;
  }
  closeSync(fd);
  return places;
}

const aside = (s) => readdirSync(s.data).filter((f) => f.includes('.aside-'));

/** What sqlite sees, through the views. */
function rows(s, sql) {
  const r = spawnSync('sqlite3', ['-readonly', '-json', db(s), sql], { encoding: 'utf8', maxBuffer: 64 << 20 });
  assert.equal(r.status, 0, r.stderr);
  return r.stdout === '' ? [] : JSON.parse(r.stdout).map((o) => Object.values(o));
}

/** What it has lost it has got from the others, and it votes again. */
const reliedOn = (s) => eventually(() => rows(s, "SELECT count(*) FROM meta WHERE key = CAST('distrust' AS BLOB)")[0][0] === 0, 'it is relied on again');

const stateOf = async (of, seenBy) => {
  const r = await peal(folder('status'), '--server', seenBy.address, '--json', 'ring', 'status');
  return r.json[0]?.nodes?.find((n) => n.id === of.id)?.state;
};

/** People with accounts and messages that wait for them. */
class Post {
  constructor(servers) {
    this.frank = new Person('frank', servers);
    this.grace = new Person('grace', servers);
    this.said = [];
  }

  async open() {
    for (const p of [this.frank, this.grace]) assert.equal((await p.register()).code, 0);
    return this;
  }

  async send(n) {
    for (let i = 0; i < n; i++) {
      const text = `${this.said.length}: ${randomBytes(1500).toString('hex')}`;
      const r = await this.frank.run('send', 'grace', '-', { input: text });
      assert.equal(r.code, 0, r.out + r.err);
      assert.equal(r.json[0].state, 'stored', 'it is acknowledged');
      this.said.push(text);
    }
  }

  /** Everything that was acknowledged arrives, once and in order. */
  async arrives() {
    const got = [];
    await eventually(async () => {
      got.push(...(await this.grace.run('recv', '--wait', '1')).json.map((m) => m.text));
      return got.length >= this.said.length;
    }, `${this.said.length} messages`);
    assert.deepEqual(got.map((t) => t.slice(0, 12)), this.said.map((t) => t.slice(0, 12)));
    assert.deepEqual(got, this.said);
    this.said = [];
  }
}

const extras = (n) => [...Array(n)].map((_, i) => `person${i}`);

/** More accounts, so that every server keeps some. */
async function accounts(servers, names) {
  for (const name of names) assert.equal((await new Person(name, servers).register()).code, 0);
}

/** Each of the names is taken, and its account can be logged into. */
async function accountsAreThere(servers, names) {
  for (const name of names) {
    const p = new Person(name, servers);
    await eventually(async () => (await p.login()).code === 0, `${name} is there`);
  }
}

// ---- a damaged database ----

let five;
let post;

test('five servers with accounts and waiting messages', async () => {
  five = await Ring.start(5, { replicas: 2 });
  post = await new Post(five.servers).open();
  await accounts(five.servers, extras(8));
  await post.send(12);
});

test('the views tell this server\'s own from the copies, and a fall-over moves pairs between them without copying', async () => {
  const all = () => five.up().map((s) => ({ s, users: rows(s, 'SELECT key FROM users').flat(), backups: rows(s, 'SELECT key FROM backups').flat(), raw: rows(s, 'SELECT hex(key), hex(value) FROM registers') }));
  const before = await eventually(() => {
    const a = all();
    const own = a.flatMap((x) => x.users);
    return own.length === 10 && new Set(own).size === 10 && a.reduce((n, x) => n + x.backups.length, 0) === 20 && a;
  }, 'each of ten accounts is one server\'s own, and two others keep a copy');
  const gone = before.find((x) => x.users.length > 0);
  await gone.s.kill();
  await five.whole();
  const after = await eventually(() => {
    const a = all();
    return new Set(a.flatMap((x) => x.users)).size === 10 && a;
  }, 'each account is a living server\'s own again');
  for (const key of gone.users) {
    const heir = after.find((x) => x.users.includes(key));
    const was = before.find((x) => x.s === heir.s);
    assert.ok(was.backups.includes(key), 'the heir had it as a copy');
    const value = (x) => x.raw.find(([k]) => k.toLowerCase() === key);
    assert.deepEqual(value(heir), value(was), 'and it is the same pair still');
  }
  gone.s.listen = gone.s.address;
  await gone.s.start();
  await five.whole();
});

test('a database that was damaged while its server was down: what is sound is kept, the rest comes from the others', async () => {
  const s = five.servers[1];
  s.listen = s.address;
  assert.equal(await s.stop(), 0); // now all of it is in the one file
  assert.ok(damage(db(s), 2, 3) > 0, 'some pages are damaged');
  const damaged = readFileSync(db(s));
  await s.start();
  assert.match(s.proc.err, /store: .*peald\.db is damaged/);
  assert.match(s.proc.err, /saved from it: \d+ registers \(accounts\), \d+ rows/);
  assert.match(s.proc.err, /the damaged file is kept as/);
  const kept = aside(s).filter((f) => !f.endsWith('-wal') && !f.endsWith('-shm'));
  assert.equal(kept.length, 1, 'it is kept');
  assert.ok(readFileSync(join(s.data, kept[0])).equals(damaged), 'just as it was');
  await five.whole();
  await reliedOn(s);
  await accountsAreThere(five.servers, extras(8));
});

test('a write-ahead log that was damaged after kill -9', async () => {
  const s = five.servers[4];
  s.listen = s.address;
  await s.kill();
  const log = `${db(s)}-wal`;
  const frame = PAGE + 24;
  const frames = Math.floor((statSync(log).size - 32) / frame);
  assert.ok(frames > 6, `${frames} frames`);
  const fd = openSync(log, 'r+');
  writeSync(fd, randomBytes(64), 0, 64, 32 + Math.floor(frames / 3) * frame + 400);
  closeSync(fd);
  await s.start();
  assert.match(s.proc.err, /write-ahead log is damaged/, 'SQLite alone would not have noticed');
  assert.match(s.proc.err, /saved from it: \d+ registers/);
  await five.whole();
  await reliedOn(s);
});

test('a database that is none any more', async () => {
  const s = five.servers[2];
  s.listen = s.address;
  await s.kill();
  writeFileSync(db(s), 'not a database at all\n'.repeat(4000));
  rmSync(`${db(s)}-wal`, { force: true });
  await s.start();
  await five.whole();
  await reliedOn(s);
  await eventually(() => rows(s, 'SELECT count(*) FROM registers')[0][0] > 0, 'its accounts are back');
  await post.arrives();
  await accountsAreThere(five.servers, extras(8));
});

test('what nothing can be done about is refused, with the reason', async () => {
  const s = five.servers[3];
  const args = ['--data', s.data, '--listen', '127.0.0.9:0', '--ring-key-file', s.opts.key, '--multicast', 'off'];
  let r = await run(...args);
  assert.equal(r.code, 1);
  assert.match(r.err, /another peald uses/);
  const f = new Server({ index: 31, key: ringKeyFile(), replicas: 0 });
  await f.start();
  assert.equal(await f.stop(), 0);
  assert.equal(spawnSync('sqlite3', [db(f), 'PRAGMA user_version = 99']).status, 0);
  r = await run('--data', f.data, '--listen', '127.0.0.9:0', '--ring-key-file', f.opts.key, '--multicast', 'off');
  assert.equal(r.code, 1);
  assert.match(r.err, /version 99/);
  assert.deepEqual(aside(f), [], 'and it is left as it is');
});

// ---- backups ----

test('a backup while people talk, and one server that is given it back', async () => {
  const s = five.servers[0];
  const file = join(folder('backup'), 'one.db');
  await post.send(4);
  const talk = post.send(12);
  let r = await run('backup', file, '--data', s.data);
  assert.equal(r.code, 0, r.err);
  assert.match(r.out, /^wrote .*one\.db: \d+ registers \(accounts\), \d+ rows .* \d+ bytes, checked$/m);
  assert.match(r.out, /node\.key/);
  await talk;
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.ok(!existsSync(`${file}-wal`), 'one file is all of it');
  const first = readFileSync(file);
  r = await run('backup', file, '--data', s.data);
  assert.equal(r.code, 1);
  assert.match(r.err, /is there already/);
  assert.ok(readFileSync(file).equals(first), 'and is left as it is');

  r = await run('restore', file, '--data', s.data);
  assert.equal(r.code, 1);
  assert.match(r.err, /another peald uses/);
  await post.send(4); // what the backup does not know
  s.listen = s.address;
  assert.equal(await s.stop(), 0);
  const junk = join(folder('junk'), 'junk.db');
  writeFileSync(junk, 'junk'.repeat(5000));
  r = await run('restore', junk, '--data', s.data);
  assert.equal(r.code, 1);
  assert.match(r.err, /not a database/);
  r = await run('restore', file, '--data', s.data);
  assert.equal(r.code, 0, r.err);
  assert.match(r.out, /is kept as .*aside-/);
  assert.match(r.out, /fetch everything from the others/);
  assert.deepEqual(rows(s, "SELECT count(*) FROM meta WHERE key = CAST('distrust' AS BLOB)"), [[1]], 'it is not relied on');
  await s.start();
  await five.whole();
  await reliedOn(s);
  await post.arrives();
  await accountsAreThere(five.servers, extras(8));
  assert.deepEqual(await five.stop(), [0, 0, 0, 0, 0]);
});

test('a ring that is lost as a whole comes back from its backups', async () => {
  const three = await Ring.start(3, { replicas: 2 });
  const mail = await new Post(three.servers).open();
  await mail.send(5);
  const files = [];
  for (const s of three.servers) {
    const file = join(folder('all'), 'it.db');
    assert.equal((await run('backup', file, '--data', s.data)).code, 0);
    files.push(file);
  }
  await Promise.all(three.servers.map((s) => s.kill()));
  for (const [i, s] of three.servers.entries()) {
    s.listen = s.address;
    const key = readFileSync(join(s.data, 'node.key'));
    rmSync(s.data, { recursive: true });
    mkdirSync(s.data, { mode: 0o700 });
    let r = await run('restore', files[i], '--data', s.data, '--all-lost');
    assert.equal(r.code, 1);
    assert.match(r.err, /node\.key is not there/);
    writeFileSync(join(s.data, 'node.key'), key, { mode: 0o600 });
    r = await run('restore', '--data', s.data, files[i], '--all-lost');
    assert.equal(r.code, 0, r.err);
    assert.match(r.out, /relies on it/);
    assert.deepEqual(rows(s, "SELECT count(*) FROM meta WHERE key = CAST('distrust' AS BLOB)"), [[0]]);
  }
  await Promise.all(three.servers.map((s) => s.start()));
  await three.whole();
  await mail.arrives();
  assert.equal((await new Person('later', three.servers).register()).code, 0, 'and it goes on');
  assert.deepEqual(await three.stop(), [0, 0, 0]);
});

// ---- a disk that does not take writes ----

/** A file system of its own, which can be filled, and made one that is only read. Mounting takes root. */
class Disk {
  static possible = process.getuid() === 0 && (() => {
    const at = folder('probe');
    const ok = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at]).status === 0;
    if (ok) spawnSync('umount', [at]);
    return ok;
  })();

  static mounted = [];

  constructor(name, kib) {
    this.path = folder(name);
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k,mode=700`, 'tmpfs', this.path]).status, 0);
    Disk.mounted.push(this.path);
  }
}

/** Fills what is left. */
function fill(disk) {
  const ballast = join(disk.path, 'ballast');
  const fd = openSync(ballast, 'w');
  const block = Buffer.alloc(4096, 0x55);
  try {
    for (;;) writeSync(fd, block);
  } catch (e) { assert.equal(e.code, 'ENOSPC'); }
  closeSync(fd);
  return () => rmSync(ballast);
}

test('a server whose disk is full says so everywhere, once, and comes back by itself', { skip: !Disk.possible && 'mounting a small file system takes root' }, async () => {
  const disk = new Disk('full', 24 << 10);
  const ring = new Ring(3, { replicas: 2 }); // each is a home of everything
  const sick = ring.servers[0];
  sick.data = join(disk.path, 'data');
  await Promise.all(ring.servers.map((s) => s.start()));
  await ring.whole();
  const well = ring.servers.slice(1);
  const mail = await new Post(well).open();
  const empty = fill(disk);
  await mail.send(20);
  await eventually(async () => (await stateOf(sick, well[0])) === 'unwell', 'the others show it');
  assert.equal(await stateOf(sick, sick), 'unwell', 'and it itself');
  await mail.send(20);
  await accounts(well, extras(3));
  const count = (re) => sick.proc.err.match(re)?.length ?? 0;
  assert.equal(count(/steps back until it is well again/g), 1, sick.proc.err);
  assert.equal(count(/a write was refused/g), 0, 'it is not said at every write');
  empty();
  await sick.proc.match(/store: well again/, { from: 'err' });
  await ring.whole();
  assert.equal(await stateOf(sick, well[0]), 'up');
  assert.equal(count(/store: well again/g), 1);
  const here = () => rows(sick, 'SELECT count(*) FROM registers')[0][0];
  const there = rows(well[0], 'SELECT count(*) FROM registers')[0][0];
  assert.ok(there > 0);
  await mail.arrives();
  await eventually(() => here() > 0, 'repaired from the others');
  await accountsAreThere(ring.servers, extras(3));
  assert.deepEqual(await ring.stop(), [0, 0, 0]);
});

test('a server whose disk gives errors steps back, and comes back by itself', async () => {
  const ring = await Ring.start(3, { replicas: 2 }); // each is a home of everything
  const sick = ring.servers[0];
  const well = ring.servers.slice(1);
  const mail = await new Post(well).open();
  const limit = (bytes) => assert.equal(spawnSync('prlimit', ['--pid', String(sick.proc.child.pid), `--fsize=${bytes}`]).status, 0);
  limit('1:unlimited'); // every write to a file fails from now on, with EFBIG
  await mail.send(20);
  await sick.proc.match(/disk I\/O error.*steps back until it is well again/, { from: 'err' });
  await eventually(async () => (await stateOf(sick, well[0])) === 'unwell', 'the others show it');
  await accounts(well, extras(3));
  limit('unlimited');
  await sick.proc.match(/store: well again/, { from: 'err' });
  await ring.whole();
  await mail.arrives();
  await accountsAreThere(ring.servers, extras(3));
  assert.deepEqual(await ring.stop(), [0, 0, 0]);
});
