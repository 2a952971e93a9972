// What the end-to-end tests share: real processes in folders of their own, on loopback addresses and free ports, and waiting for
// what they print. Nothing here sleeps: everything waits for a line, an exit, or the answer to a question asked again.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, closeSync, existsSync, ftruncateSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { randomInt } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const bin = process.env.PEAL_BIN ?? join(root, 'build', 'release', 'bin');

/** The bound of every single wait, in milliseconds: generous, since a test asserts what happens and not how fast. */
export const PATIENCE = 60_000;

const folders = [];
const running = new Set();

/** A fresh private folder, removed when the test process ends. */
export function folder(name) {
  const path = mkdtempSync(join(tmpdir(), `peal-${name}-`));
  chmodSync(path, 0o700);
  folders.push(path);
  return path;
}

/** Ends whatever still runs. For `after`: a test that failed half-way leaves processes, and Node waits for them. */
export function killAll() {
  return Promise.all([...running].map((p) => p.signal('SIGKILL')));
}

process.on('exit', () => {
  for (const p of running) p.child.kill('SIGKILL');
  if (process.env.PEAL_KEEP) console.error('kept:', folders.join(' '));
  else for (const f of folders) rmSync(f, { recursive: true, force: true });
});

/** A process whose output lines can be waited for. */
export class Proc {
  constructor(file, args, { env, input, name } = {}) {
    this.name = name ?? file;
    this.out = '';
    this.err = '';
    this.waiters = new Set();
    this.code = undefined;
    this.child = spawn(file, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    running.add(this);
    this.child.stdout.setEncoding('utf8').on('data', (d) => { this.out += d; this.#wake(); });
    this.child.stderr.setEncoding('utf8').on('data', (d) => { this.err += d; this.#wake(); });
    this.child.stdin.on('error', () => {});
    this.child.stdin.end(input ?? '');
    this.ended = new Promise((resolve) => {
      this.child.on('error', (e) => { this.err += String(e); });
      this.child.on('close', (code, signal) => {
        running.delete(this);
        this.code = code ?? signal;
        this.#wake();
        resolve(this.code);
      });
    });
  }

  #wake() { for (const w of [...this.waiters]) w(); }

  /** Resolves with the value once `test()` gives a truthy one; looked at whenever the process prints or ends. */
  until(test, what) {
    return new Promise((resolve, reject) => {
      const done = (f, v) => { clearTimeout(timer); this.waiters.delete(look); f(v); };
      const tail = () => `\nout: ${this.out.slice(-1500)}\nerr: ${this.err.slice(-3000)}`;
      const look = () => {
        const v = test();
        if (v) done(resolve, v);
        else if (this.code !== undefined) done(reject, new Error(`${this.name} ended (${this.code}) before ${what}${tail()}`));
      };
      const timer = setTimeout(() => done(reject, new Error(`${this.name}: waited in vain for ${what}${tail()}`)), PATIENCE);
      this.waiters.add(look);
      look();
    });
  }

  /** The first match in standard output (or error, with from = 'err'), from an offset on. */
  match(re, { from = 'out', after = 0 } = {}) {
    return this.until(() => re.exec(this[from].slice(after)), `${re}`);
  }

  /** Complete lines of standard output so far. */
  lines() { return this.out.split('\n').slice(0, -1); }

  signal(s) { this.child.kill(s); return this.ended; }
}

/**
 * Asks again and again until the answer pleases; each question is a real request, never a pause. In between whatever else this process
 * does goes on, also when the question is answered at once: what servers print is heard, and who writes meanwhile writes.
 */
export async function eventually(ask, what) {
  const end = Date.now() + PATIENCE;
  let last;
  while (Date.now() < end) {
    try {
      last = await ask();
      if (last) return last;
    } catch (e) { last = e; }
    await turn();
  }
  throw new Error(`never came true: ${what}; last: ${last?.stack ?? JSON.stringify(last)}`);
}

export function ringKeyFile() {
  const path = join(folder('key'), 'ring.key');
  const hex = [...Array(32)].map(() => randomInt(256).toString(16).padStart(2, '0')).join('');
  writeFileSync(path, hex + '\n', { mode: 0o600 });
  return path;
}

/** A group of this test's own, so that rings of tests that run beside each other do not meet. */
export function multicastGroup() {
  return `239.80.69.76:${randomInt(20000, 60000)}`;
}

/** One peald and its folder; can be killed and started again. */
export class Server {
  constructor(opts) {
    this.data = folder(`server${opts.index}`);
    this.index = opts.index;
    this.opts = opts;
    this.listen = `127.0.0.${opts.index}:0`;
  }

  spawn(extra = []) {
    const args = ['--data', this.data, '--listen', this.listen, '--ring-key-file', this.opts.key, '--multicast', this.opts.group ?? 'off',
      '--bcrypt-cost', '4'];
    if (this.opts.replicas !== undefined) args.push('--replicas', String(this.opts.replicas));
    for (const j of this.opts.join ?? []) args.push('--join', j);
    this.proc = new Proc(join(bin, 'peald'), [...args, ...(this.opts.extra ?? []), ...extra], { name: `server ${this.index}` });
    return this;
  }

  async ready() {
    const m = await this.proc.match(/^ready id=([0-9a-f]{40}) listen=(\S+)$/m);
    [, this.id, this.address] = m;
    return this;
  }

  start(extra) { return this.spawn(extra).ready(); }
  kill() { return this.proc.signal('SIGKILL'); }
  stop() { return this.proc.signal('SIGTERM'); }
}

/** Several servers that find each other by multicast alone. */
export class Ring {
  constructor(n, opts = {}) {
    this.key = ringKeyFile();
    this.group = multicastGroup();
    this.servers = [...Array(n)].map((_, i) => new Server({ index: i + 1, key: this.key, group: this.group, ...opts }));
  }

  static async start(n, opts) {
    const ring = new Ring(n, opts);
    await Promise.all(ring.servers.map((s) => s.start()));
    await ring.whole();
    return ring;
  }

  up() { return this.servers.filter((s) => s.proc && s.proc.code === undefined); }

  /** Waits until every running server says that the ring of all running servers is whole. */
  async whole() {
    const up = this.up();
    for (const s of up) {
      const profile = folder('status');
      await eventually(async () => {
        const r = await peal(profile, '--server', s.address, '--json', 'ring', 'status');
        const ring = r.json[0];
        return r.code === 0 && ring.whole && ring.nodes.filter((n) => n.state === 'up').length === up.length && ring;
      }, `ring of ${up.length} whole as ${s.address} sees it`);
    }
  }

  async stop() {
    const codes = await Promise.all(this.up().map((s) => s.stop()));
    return codes;
  }
}

/** Runs the command line to its end. --json output is parsed into `json`, a line each. */
export async function peal(profile, ...args) {
  let input;
  if (typeof args.at(-1) === 'object') ({ input } = args.pop());
  const p = new Proc(join(bin, 'peal'), ['--profile', profile, ...args], { input, name: `peal ${args.join(' ')}`, env: { PEAL_MULTICAST: 'off' } });
  const code = await p.ended;
  const json = [];
  if (args.includes('--json')) for (const line of p.lines()) json.push(JSON.parse(line));
  return { code, out: p.out, err: p.err, json };
}

/** A person: a profile, servers, and a password. */
export class Person {
  constructor(name, servers) {
    this.name = name;
    this.profile = folder(`client-${name}`);
    this.password = `${name}'s password is long enough`;
    this.flags = (servers ?? []).flatMap((s) => ['--server', s.address]);
  }

  run(...args) { return peal(this.profile, ...this.flags, '--json', ...args); }
  spawn(...args) {
    return new Proc(join(bin, 'peal'), ['--profile', this.profile, ...this.flags, '--json', ...args],
      { name: `${this.name}: ${args.join(' ')}`, env: { PEAL_MULTICAST: 'off' } });
  }
  register() { return this.run('register', this.name, '--password-file', '-', { input: this.password + '\n' }); }
  login(password = this.password) { return this.run('login', this.name, '--password-file', '-', { input: password + '\n' }); }

  /** `peal web` on a free port; resolves with the page's address. */
  async web() {
    this.page = new Proc(join(bin, 'peal'), ['--profile', this.profile, ...this.flags, 'web', '--listen', '127.0.0.1:0'],
      { name: `${this.name}: web`, env: { PEAL_MULTICAST: 'off' } });
    this.url = (await this.page.match(/^ready web=(\S+)$/m))[1];
    return this.url;
  }
}

/** A small file system of its own, which can be filled and emptied. Mounting takes root. */
export class SmallDisk {
  static #possible;

  /** Looked at once it is asked for: most tests mount nothing. */
  static get possible() {
    SmallDisk.#possible ??= process.getuid() === 0 && (() => {
      const at = folder('probe');
      const ok = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at]).status === 0;
      if (ok) spawnSync('umount', [at]);
      return ok;
    })();
    return SmallDisk.#possible;
  }

  static mounted = new Set();

  constructor(name, kib) {
    this.path = folder(name);
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k,mode=700`, 'tmpfs', this.path]).status, 0);
    SmallDisk.mounted.add(this.path);
    this.ballast = join(this.path, 'ballast');
  }

  /** Takes what is left, but for `spare` bytes. */
  fill(spare = 0) {
    const fd = openSync(this.ballast, 'w');
    const block = Buffer.alloc(4096, 0x55);
    let n = 0;
    try {
      for (;;) n += writeSync(fd, block);
    } catch (e) { assert.equal(e.code, 'ENOSPC'); }
    if (spare > 0) ftruncateSync(fd, Math.max(0, n - spare));
    closeSync(fd);
  }

  empty() { rmSync(this.ballast); }

  /** Before the folders are removed. */
  static unmountAll() {
    for (const path of SmallDisk.mounted) spawnSync('umount', ['-l', path]);
    SmallDisk.mounted.clear();
  }
}

/** Every file below a folder, as one buffer each. */
export function filesBelow(path) {
  const all = [];
  for (const e of readdirSync(path, { withFileTypes: true })) {
    const p = join(path, e.name);
    if (e.isDirectory()) all.push(...filesBelow(p));
    else if (e.isFile() && existsSync(p)) all.push({ path: p, bytes: readFileSync(p) });
  }
  return all;
}
