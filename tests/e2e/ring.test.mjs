// Five servers that find each other by themselves: replication, kill -9 of any of them, restart as the same node, and who is let in.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { bin, eventually, folder, killAll, peal, Proc, Person, Ring, Server, ringKeyFile } from './lib.mjs';

let ring;
before(async () => { ring = await Ring.start(5); });
after(async () => {
  await ring.stop();
  await killAll();
});

async function status(server) {
  return (await peal(folder('status'), '--server', server.address, '--json', 'ring', 'status')).json[0];
}

test('the ring of five: one order, one epoch, told alike by all', async () => {
  const ids = ring.servers.map((s) => s.id).sort();
  const seen = await eventually(async () => { // the ring may be whole before it has elected
    const all = await Promise.all(ring.servers.map(status));
    return all.every((r) => ids.includes(r.coordinator) && r.coordinator === all[0].coordinator) && all;
  }, 'all name one of them as the coordinator');
  for (const r of seen) {
    assert.equal(r.size, 5);
    assert.equal(r.whole, true);
    assert.equal(r.epoch, seen[0].epoch);
    assert.deepEqual(r.nodes.map((n) => n.id).sort(), ids);
    for (const n of r.nodes) {
      assert.equal(n.state, 'up');
      const i = ids.indexOf(n.id);
      assert.equal(n.successor, ids[(i + 1) % 5]);
      assert.equal(n.predecessor, ids[(i + 4) % 5]);
      assert.ok(n.address && n.incarnation > 0);
    }
  }
});

test('one name at five servers at the same instant: one owner, four clear refusals', async () => {
  for (let round = 0; round < 3; round++) {
    const rivals = ring.servers.map((s) => {
      const p = new Person(`rival${round}`, [s]);
      p.password = `password of the rival at ${s.index}`;
      return p;
    });
    const results = await Promise.all(rivals.map((p) => p.register()));
    const owners = results.filter((r) => r.code === 0);
    assert.equal(owners.length, 1, JSON.stringify(results.map((r) => [r.code, r.out])));
    for (const r of results.filter((x) => x.code !== 0)) {
      assert.equal(r.code, 1);
      assert.equal(r.json[0].error.code, 'exists');
    }
    const winner = results.findIndex((r) => r.code === 0);
    const check = new Person(`rival${round}`, ring.servers.slice(4));
    assert.equal((await check.login(rivals[winner].password)).code, 0, 'the owner gets in');
    assert.equal((await check.login(rivals[(winner + 1) % 5].password)).code, 1, 'nobody else does');
  }
});

test('kill -9 of each server in turn: nothing is lost, writing goes on, and it comes back as the same node', async () => {
  const alice = new Person('alice', ring.servers);
  const bob = new Person('bob', ring.servers.slice().reverse());
  assert.equal((await alice.register()).code, 0);
  assert.equal((await bob.register()).code, 0);
  const inbox = bob.spawn('recv', '--follow');
  const outbox = alice.spawn('recv', '--follow');
  let sent = 0;
  const say = async () => {
    const r = await alice.run('send', 'bob', `message ${sent}`);
    assert.ok(r.code === 0 || r.code === 3, r.out + r.err);
    sent++;
  };
  await say();
  for (const s of ring.servers) {
    const { id } = s;
    await s.kill();
    await say();
    await say();
    await ring.whole();
    s.listen = s.address;
    await s.start();
    assert.equal(s.id, id, 'the same node');
    await ring.whole();
    await say();
  }
  const want = [...Array(sent)].map((_, i) => `message ${i}`);
  await inbox.until(() => inbox.lines().length >= sent, 'all messages');
  assert.deepEqual(inbox.lines().map((l) => JSON.parse(l).text), want, 'each once, in order');
  const read = await eventually(async () => {
    const h = (await alice.run('history', 'bob')).json;
    return h.length === sent && h.every((m) => m.state === 'read') && h;
  }, 'alice sees all of them as read');
  assert.equal(read.length, sent);
  assert.equal(await inbox.signal('SIGTERM'), 0);
  assert.equal(await outbox.signal('SIGTERM'), 0);
});

test('two of five killed at once with K = 2 and started again: what was stored is there, once and in order', async () => {
  const carol = new Person('carol', ring.servers);
  const dora = new Person('dora', ring.servers);
  assert.equal((await carol.register()).code, 0);
  assert.equal((await dora.register()).code, 0);
  for (let i = 0; i < 5; i++) assert.equal((await carol.run('send', 'dora', `kept ${i}`)).code, 0);
  const two = [ring.servers[1], ring.servers[3]];
  await Promise.all(two.map((s) => s.kill()));
  await ring.whole();
  for (const s of two) await s.start();
  await ring.whole();
  const got = [];
  await eventually(async () => {
    got.push(...(await dora.run('recv', '--wait', '5')).json.map((m) => m.text));
    return got.length >= 5;
  }, 'five messages');
  assert.deepEqual(got, [0, 1, 2, 3, 4].map((i) => `kept ${i}`));
});

test('a server that freezes: the others close over it, writing goes on, and it is taken back when it thaws', async () => {
  const erin = new Person('erin', ring.servers);
  const frank = new Person('frank', ring.servers);
  assert.equal((await erin.register()).code, 0);
  assert.equal((await frank.register()).code, 0);
  const inbox = frank.spawn('recv', '--follow');
  const want = [];
  for (const s of ring.servers.slice(0, 3)) {
    s.proc.child.kill('SIGSTOP');
    want.push(`while ${s.index} is frozen`);
    const r = await erin.run('send', 'frank', want.at(-1));
    assert.equal(r.code, 0, r.out + r.err);
    await inbox.until(() => inbox.lines().length === want.length, want.at(-1));
    s.proc.child.kill('SIGCONT');
    await ring.whole();
  }
  assert.deepEqual(inbox.lines().map((l) => JSON.parse(l).text), want);
  assert.equal(await inbox.signal('SIGTERM'), 0);
});

test('a server without the ring key can neither read a beacon nor join, and says why', async () => {
  const byBeacon = new Server({ index: 11, key: ringKeyFile(), group: ring.group }).spawn();
  await byBeacon.proc.match(/beacon from 127\.0\.0\.\d+:\d+ is sealed under another ring's key.*--ring-key-file/, { from: 'err' });
  await byBeacon.stop();
  const byJoin = new Server({ index: 12, key: ringKeyFile(), join: [ring.servers[0].address] }).spawn();
  await byJoin.proc.match(/another ring/, { from: 'err' });
  await byJoin.stop();
  assert.equal((await status(ring.servers[0])).size, 5, 'nobody was let in');
});

test('a sixth server joins by --join, gets its share of the data, and leaves in good order', async () => {
  const sixth = await new Server({ index: 6, key: ring.key, join: [ring.servers[2].address, ring.servers[0].address] }).start();
  ring.servers.push(sixth);
  await ring.whole();
  assert.equal((await status(sixth)).size, 6);
  const dora = new Person('dora', [sixth]);
  assert.equal((await dora.login()).code, 0, 'accounts are reached through it');
  const staying = new Proc(join(bin, 'peal'), ['--profile', dora.profile, '--server', sixth.address, 'recv', '--follow'], { name: 'dora follows' });
  const watcher = new Person('carol', [ring.servers[0]]);
  assert.equal((await watcher.login()).code, 0);
  await eventually(async () => (await watcher.run('status', 'dora')).json[0].online, 'dora is online at the sixth');
  assert.equal(await sixth.stop(), 0);
  assert.match(sixth.proc.err, /left in good order/);
  await ring.servers[0].proc.match(new RegExp(`${sixth.id.slice(0, 8)} is down: it is leaving`), { from: 'err' });
  await ring.whole();
  await eventually(async () => (await watcher.run('status', 'dora')).json[0].online, 'dora went on at another server');
  assert.equal(await staying.signal('SIGTERM'), 0);
});

test('a server that is gone for good is taken out by who has the key of the ring, and by nobody else', async () => {
  await ring.servers[5].start(); // the sixth; without it some keys would have too few copies left
  const gone = await new Server({ index: 7, key: ring.key, join: [ring.servers[0].address], extra: ['--domain', 'attic'] }).start();
  ring.servers.push(gone);
  await ring.whole();
  const before = await status(ring.servers[0]);
  assert.equal(before.nodes.find((n) => n.id === gone.id).domain, 'attic');
  const remove = (id, key) => peal(folder('operator'), '--server', ring.servers[1].address, '--json', 'ring', 'remove', id, '--ring-key-file', key);
  const refused = async (id, key, code) => {
    const r = await remove(id, key);
    assert.equal(r.code, 1, r.out + r.err);
    assert.equal(r.json[0].error.code, code, r.out);
    assert.ok(r.json[0].error.message, 'and says why');
  };
  await refused(gone.id, ring.key, 'refused');
  await gone.kill();
  ring.servers.pop();
  await ring.whole();
  await refused(gone.id, ringKeyFile(), 'auth');
  await refused('0'.repeat(40), ring.key, 'not_found');
  assert.equal((await status(ring.servers[0])).epoch, before.epoch, 'nothing has changed');
  const done = await remove(gone.id.slice(0, 10), ring.key);
  assert.equal(done.code, 0, done.out + done.err);
  assert.deepEqual(done.json[0], { removed: gone.id });
  await ring.whole();
  for (const s of ring.up()) {
    const now = await status(s);
    assert.equal(now.epoch, before.epoch + 1);
    assert.ok(!now.nodes.some((n) => n.id === gone.id));
  }
  const back = gone.start();
  await gone.proc.match(/epoch \d+ does not name this|is out of the ring|taken out/, { from: 'err' });
  await back;
  ring.servers.push(gone);
  await ring.whole();
  assert.ok((await status(ring.servers[0])).nodes.some((n) => n.id === gone.id), 'it is admitted as a new one');
  ring.servers.pop();
  await gone.stop();
});

test('figures and health over HTTP, at an address of their own, for as long as it runs', async () => {
  const lone = await new Server({ index: 13, key: ringKeyFile(), extra: ['--metrics', '127.0.0.1:0'] }).start();
  const [, url] = await lone.proc.match(/figures at (http:\S+)metrics/, { from: 'err' });
  const health = await fetch(`${url}health`);
  assert.equal(health.status, 200);
  assert.equal(await health.text(), 'serves\n');
  const person = new Person('watched', [lone]);
  assert.equal((await person.register()).code, 0);
  const figures = Object.fromEntries((await (await fetch(`${url}metrics`)).text()).split('\n').filter((l) => l && !l.startsWith('#')).map((l) => l.split(' ')));
  assert.equal(figures.peal_serves, '1');
  assert.equal(figures.peal_members, '1');
  assert.ok(Number(figures.peal_store_commits_total) > 0, 'an account was written');
  assert.ok(!Object.keys(figures).some((k) => k.includes('watched')), 'no names');
  assert.equal((await fetch(`${url}other`)).status, 404);
  const again = new Server({ index: 14, key: ringKeyFile(), extra: ['--metrics', new URL(url).host] }).spawn();
  assert.equal(await again.proc.ended, 1);
  assert.match(again.proc.err, /--metrics .*another program listens there/);
  assert.doesNotMatch(again.proc.err, /founded/, 'nothing was begun');
  const open = await fetch(`${url}health`, { headers: { connection: 'keep-alive' } });
  await open.text();
  assert.equal(await lone.stop(), 0, 'an open connection does not keep it');
});

test('a second process on the same data folder is refused, and so is a taken port', async () => {
  const s = ring.servers[0];
  const again = new Server({ index: 1, key: ring.key, group: ring.group });
  again.data = s.data;
  again.spawn();
  assert.equal(await again.proc.ended, 1);
  assert.match(again.proc.err, /another peald uses/);
  const port = new Server({ index: 1, key: ring.key, group: ring.group });
  port.listen = s.address;
  port.spawn();
  assert.equal(await port.proc.ended, 1);
  assert.match(port.proc.err, /in use/);
  assert.equal(statSync(join(s.data, 'node.key')).mode & 0o777, 0o600);
});
