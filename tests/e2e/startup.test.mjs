// startup.sh as a new user meets it: start, start again, status, a server killed and started again, stop, clean.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { bin, folder, multicastGroup, Proc, root } from './lib.mjs';

const home = join(folder('home'), 'var');
const env = { PEAL_HOME: home, PEAL_BIN: bin, PEAL_MULTICAST: multicastGroup(), PEAL_PAGE_PORT: '0', PEAL_SERVER_PORT: '0' };

async function startup(...args) {
  let input, more;
  if (typeof args.at(-1) === 'object') ({ input, env: more } = args.pop());
  const p = new Proc(join(root, 'startup.sh'), args, { env: { ...env, ...more }, input, name: `startup.sh ${args.join(' ')}` });
  const code = await p.ended;
  return { code, out: p.out, err: p.err };
}

after(() => startup('stop'));

const pidOf = (name) => Number(readFileSync(join(home, 'run', `${name}.pid`), 'utf8').split(' ')[0]);

test('start: a whole ring of five, four pages that answer', async () => {
  const r = await startup();
  assert.equal(r.code, 0, r.out + r.err);
  assert.match(r.out, /ring of 5 servers is whole/);
  const pages = [...r.out.matchAll(/^ {2}(client\d|visualizer): (http:\S+)$/gm)];
  assert.deepEqual(pages.map((p) => p[1]), ['client1', 'client2', 'client3', 'visualizer']);
  for (const [, name, url] of pages) {
    const page = await fetch(url);
    assert.equal(page.status, 200, name);
    assert.match(await page.text(), /<html/i);
  }
});

test('a second start says that it runs already', async () => {
  const r = await startup('start');
  assert.equal(r.code, 0);
  assert.match(r.out, /running already/);
  assert.match(r.out, /client1: http/);
});

test('status; a killed server is named, and start brings it back as the same node', async () => {
  let r = await startup('status');
  assert.equal(r.code, 0, r.out + r.err);
  assert.match(r.out, /server5: runs/);
  const id = /^ready id=(\S+)/m.exec(readFileSync(join(home, 'log', 'server3.out'), 'utf8'))[1];
  process.kill(pidOf('server3'), 'SIGKILL');
  r = await startup('status');
  assert.equal(r.code, 1);
  assert.match(r.out, /server3: does not run/);
  r = await startup();
  assert.equal(r.code, 0, r.out + r.err);
  assert.match(r.out, /Starting: server3/);
  assert.equal(/^ready id=(\S+)/m.exec(readFileSync(join(home, 'log', 'server3.out'), 'utf8'))[1], id);
});

test('stop ends everything; the data stays; clean asks first', async () => {
  let r = await startup('clean');
  assert.equal(r.code, 1, 'not while it runs');
  assert.match(r.err, /stop/);
  r = await startup('stop');
  assert.equal(r.code, 0, r.out + r.err);
  assert.ok(existsSync(join(home, 'server1', 'peald.db')));
  r = await startup('status');
  assert.equal(r.code, 1);
  assert.match(r.out, /server1: does not run/);
  r = await startup('clean', { input: 'n\n' });
  assert.match(r.out, /Nothing was removed/);
  assert.ok(existsSync(join(home, 'server1', 'peald.db')));
  r = await startup('clean', { input: 'y\n' });
  assert.equal(r.code, 0);
  assert.ok(!existsSync(home), 'gone');
});

test('wrong words are refused with what is known', async () => {
  let r = await startup('begin');
  assert.equal(r.code, 2);
  assert.match(r.err, /no such command: begin/);
  r = await startup('start', 'server9');
  assert.equal(r.code, 1);
  assert.match(r.err, /server1/);
});

/** Somebody else's listener. A port that is taken already serves as well. */
function occupy(port, host) {
  return new Promise((resolve) => {
    const s = createServer().listen(port, host);
    s.on('listening', () => resolve(s)).on('error', () => resolve(s));
  });
}

test('a port that somebody else has: another one is taken, and said', async () => {
  const others = [await occupy(0, '0.0.0.0')];
  const { port } = others[0].address();
  others.push(await occupy(port + 1, '127.0.0.1'));
  const taken = { PEAL_SERVER_PORT: String(port), PEAL_PAGE_PORT: String(port) };
  const r = await startup('start', 'server1', 'client1', 'visualizer', { env: taken });
  assert.equal((await startup('stop')).code, 0);
  for (const s of others) s.close();
  assert.equal(r.code, 0, r.out + r.err);
  assert.match(r.out, new RegExp(`Port ${port} is taken; server1 gets another`));
  assert.match(r.out, new RegExp(`Port ${port} is taken; visualizer gets another`));
  assert.match(r.out, new RegExp(`Port ${port + 1} is taken; client1 gets another`));
  assert.match(r.out, /^ {2}client1: http:/m);
  assert.equal((await startup('clean', '--yes')).code, 0);
});
