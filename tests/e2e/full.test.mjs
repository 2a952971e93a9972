// Disks, quotas and mailboxes without room: nothing that was acknowledged is lost, whoever writes is told what is so, and what is queued
// goes out when there is room. Each test has servers of its own, and mostly waits: they run side by side.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { eventually, killAll, peal, Person, Ring, ringKeyFile, Server, SmallDisk } from './lib.mjs';

after(async () => {
  await killAll();
  SmallDisk.unmountAll();
});

const bulk = (i) => `${i}: ${randomBytes(20_000).toString('hex')}`;

/** Sends until the server has no room; every text with what was said of it. */
async function sendUntilFull(from, to, limit) {
  const said = [];
  for (let i = 0; i < limit; i++) {
    const text = bulk(i);
    const r = await from.run('send', to, '-', { input: text });
    said.push({ text, code: r.code, state: r.json[0].state, error: r.json[0].error });
    if (r.code !== 0) return said;
  }
  throw new Error(`${limit} messages and the disk is not full`);
}

/** Everything that was acknowledged or queued arrives once and in order, when there is room again. */
async function allArrives(person, said, sender) {
  const want = said.filter((m) => m.state).map((m) => m.text);
  const got = [];
  await eventually(async () => {
    await sender.run('recv', '--wait', '1'); // a client must run for its outbox to go out
    got.push(...(await person.run('recv', '--wait', '1')).json.map((m) => m.text));
    return got.length >= want.length;
  }, `${want.length} messages`);
  assert.equal(got.length, want.length);
  got.forEach((t, i) => assert.ok(t === want[i], `message ${i} is ${t.slice(0, 9)}`));
}

async function pair(server) {
  const from = new Person('frank', [server]);
  const to = new Person('grace', [server]);
  assert.equal((await from.register()).code, 0);
  assert.equal((await to.register()).code, 0);
  return [from, to];
}

function saysWhatItIs(last) {
  if (last.state) {
    assert.equal(last.state, 'queued', 'not stored, and not lost');
    assert.equal(last.code, 3);
  } else {
    assert.equal(last.error.code, 'no_space');
    assert.ok(last.error.hint);
  }
}

describe('without room', { concurrency: 5 }, () => {
  test('a server at its quota: nothing that was acknowledged is lost, what is queued goes out when there is room', async () => {
    const s = new Server({ index: 21, key: ringKeyFile(), replicas: 0 });
    await s.start(['--quota', '1']);
    const [frank, grace] = await pair(s);
    const said = await sendUntilFull(frank, 'grace', 60);
    assert.ok(said.length > 5, `${said.length - 1} were stored in a mebibyte`);
    saysWhatItIs(said.at(-1));
    await s.proc.match(/store: .*full.*steps back|steps back/, { from: 'err' });
    const late = await new Person('heidi', [s]).register();
    assert.notEqual(late.code, 0, 'no new account is promised');
    assert.ok(late.json[0].error.message && late.json[0].error.hint);
    s.listen = s.address;
    await s.kill();
    await s.start(['--quota', '64']);
    await allArrives(grace, said, frank);
    assert.equal((await new Person('heidi', [s]).register()).code, 0);
    assert.equal(await s.stop(), 0);
  });

  test('a full mailbox: its writer is told, writes to others, and all of it arrives when there is room', async () => {
    const s = new Server({ index: 24, key: ringKeyFile(), replicas: 0 });
    await s.start(['--mailbox-messages', '5']);
    const [frank, grace] = await pair(s);
    const ivan = new Person('ivan', [s]);
    assert.equal((await ivan.register()).code, 0);
    const texts = [...Array(8)].map((_, i) => `number ${i}`);
    for (const [i, text] of texts.entries()) {
      const r = await frank.run('send', 'grace', text);
      assert.equal(r.json[0].state, i < 5 ? 'stored' : 'queued', `${text}: ${JSON.stringify(r.json)}`);
      if (i >= 5) assert.equal(r.json[0].reason, 'the mailbox of grace is full');
    }
    const words = await peal(frank.profile, ...frank.flags, 'send', 'grace', 'number 8');
    assert.match(words.out, /^grace: queued: the ring has not taken it yet \(the mailbox of grace is full\)/);
    texts.push('number 8');
    assert.equal((await frank.run('send', 'ivan', 'hello')).json[0].state, 'stored', 'others are not held up');
    assert.equal((await ivan.run('recv')).json[0].text, 'hello');

    const got = (await grace.run('recv')).json.map((m) => m.text);
    assert.deepEqual(got, texts.slice(0, 5));
    await eventually(async () => {
      await frank.run('recv', '--wait', '1'); // a client must run for its outbox to go out
      got.push(...(await grace.run('recv', '--wait', '1')).json.map((m) => m.text));
      return got.length >= texts.length;
    }, 'what was queued');
    assert.deepEqual(got, texts, 'once, and in order');
    assert.equal(await s.stop(), 0);
  });

  test('a server whose disk is full, and then has room again, without a restart', { skip: !SmallDisk.possible && 'mounting a small file system takes root' }, async () => {
    const disk = new SmallDisk('full-server', 24 << 10);
    const s = new Server({ index: 22, key: ringKeyFile(), replicas: 0 });
    s.data = join(disk.path, 'data');
    await s.start();
    const [frank, grace] = await pair(s);
    disk.fill(256 << 10);
    const said = await sendUntilFull(frank, 'grace', 60);
    saysWhatItIs(said.at(-1));
    await s.proc.match(/steps back until it is well again/, { from: 'err' });
    assert.equal(s.proc.code, undefined, 'it lives');
    disk.empty();
    await s.proc.match(/well again/, { from: 'err', after: s.proc.err.indexOf('until it is well again') + 25 });
    await allArrives(grace, said, frank);
    assert.equal((await frank.run('send', 'grace', 'and on')).code, 0);

    disk.fill();
    const more = await sendUntilFull(frank, 'grace', 60);
    await s.kill();
    disk.empty();
    s.listen = s.address;
    await s.start();
    await allArrives(grace, [{ text: 'and on', state: 'stored' }, ...more], frank);
    assert.equal(await s.stop(), 0);
  });

  test('one full disk of three: the ring goes on', { skip: !SmallDisk.possible && 'mounting a small file system takes root' }, async () => {
    const disk = new SmallDisk('full-one', 24 << 10);
    const three = new Ring(3);
    three.servers[0].data = join(disk.path, 'data');
    await Promise.all(three.servers.map((s) => s.start()));
    await three.whole();
    const frank = new Person('frank', three.servers.slice(1));
    const grace = new Person('grace', three.servers.slice(1));
    assert.equal((await frank.register()).code, 0);
    assert.equal((await grace.register()).code, 0);
    disk.fill();
    const said = [];
    for (let i = 0; i < 12; i++) {
      const text = bulk(i);
      const r = await frank.run('send', 'grace', '-', { input: text });
      assert.equal(r.code, 0, `two of three have room: ${r.out}${r.err}`);
      said.push({ text, state: r.json[0].state });
    }
    await three.servers[0].proc.match(/steps back/, { from: 'err' });
    await allArrives(grace, said, frank);
    disk.empty();
    await three.servers[0].proc.match(/store: well again/, { from: 'err' });
    await three.whole();
    assert.deepEqual(await three.stop(), [0, 0, 0]);
  });

  test('a client whose disk is full: a clear error, and nothing half done', { skip: !SmallDisk.possible && 'mounting a small file system takes root' }, async () => {
    const disk = new SmallDisk('full-client', 8 << 10);
    const s = await new Server({ index: 23, key: ringKeyFile(), replicas: 0 }).start();
    const [frank, grace] = await pair(s);
    const oskar = new Person('oskar', [s]);
    oskar.profile = join(disk.path, 'profile');
    assert.equal((await oskar.register()).code, 0);
    assert.equal((await oskar.run('send', 'grace', 'before')).code, 0);
    disk.fill();
    assert.equal((await frank.run('send', 'oskar', '-', { input: bulk(1) })).code, 0);
    let r = await oskar.run('send', 'grace', '-', { input: bulk(2) });
    assert.equal(r.code, 1, r.out + r.err);
    assert.equal(r.json[0].error.code, 'no_space', r.out);
    assert.ok(r.json[0].error.hint);
    r = await oskar.run('recv', '--wait', '2');
    assert.deepEqual(r.json.filter((m) => m.text), [], 'what cannot be kept is not shown as received');
    r = await new Person('paula', [s]).run('--profile', join(disk.path, 'other'), 'whoami');
    assert.notEqual(r.code, 0, 'no profile can be made there');
    assert.equal(r.json[0].error.code, 'no_space', r.out);
    disk.empty();

    const got = [];
    await eventually(async () => {
      got.push(...(await oskar.run('recv', '--wait', '2')).json.map((m) => m.text));
      return got.length >= 1;
    }, 'the message that waited');
    assert.equal(got.length, 1);
    assert.match(got[0], /^1: /);
    assert.equal((await oskar.run('send', 'grace', 'after')).code, 0);
    assert.deepEqual((await oskar.run('history', 'grace')).json.map((m) => m.text), ['before', 'after'], 'what failed is not in the history');
    const there = [];
    await eventually(async () => {
      there.push(...(await grace.run('recv', '--wait', '2')).json.map((m) => m.text));
      return there.length >= 2;
    }, 'both messages');
    assert.deepEqual(there, ['before', 'after']);
    assert.equal(await s.stop(), 0);
  });
});
