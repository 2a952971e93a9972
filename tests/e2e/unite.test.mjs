// Two rings founded apart, with people and waiting messages in both, become one when one server of one is told of one of the other:
// real processes, nobody does anything else. What both had acknowledged is there afterwards, for all.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, killAll, multicastGroup, Person, Ring, ringKeyFile, Server } from './lib.mjs';

const WAITING = 12; // messages that wait for somebody who is away, in each ring
let large, small, all, people;

function found(n, first, key) {
  const ring = new Ring(0);
  const group = multicastGroup();
  ring.servers = [...Array(n)].map((_, i) => new Server({ index: first + i, key, group }));
  return ring;
}

before(async () => {
  const key = ringKeyFile();
  large = found(3, 1, key);
  small = found(2, 4, key);
  all = new Ring(0);
  all.servers = [...large.servers, ...small.servers];
  await Promise.all(all.servers.map((s) => s.start()));
  await Promise.all([large.whole(), small.whole()]);
  people = {
    alice: new Person('alice', large.servers), anna: new Person('anna', large.servers), zoe: new Person('zoe', large.servers),
    bob: new Person('bob', small.servers), bert: new Person('bert', small.servers), otherZoe: new Person('zoe', small.servers),
  };
  people.otherZoe.password = 'quite another password';
  for (const p of Object.values(people)) assert.equal((await p.register()).code, 0, p.name);
  for (let i = 0; i < WAITING; i++) {
    assert.equal((await people.alice.run('send', 'anna', `for anna ${i}`)).code, 0);
    assert.equal((await people.bob.run('send', 'bert', `for bert ${i}`)).code, 0);
  }
});

after(async () => {
  await all.stop();
  await killAll();
});

async function said(re) {
  await eventually(() => all.servers.some((s) => re.test(s.proc.err)), `${re} in a server's log`);
}

test('one server is told of the other ring: five servers, one ring, without anybody else doing anything', async () => {
  const [told] = small.servers;
  const { id } = told;
  assert.equal(await told.stop(), 0);
  told.listen = told.address;
  await told.start(['--join', large.servers[0].address]);
  assert.equal(told.id, id);
  await all.whole();
  await said(/unite: this ring, [0-9a-f]{8} \(3 servers\), takes in ring [0-9a-f]{8} \(2\)/);
  await said(/unite: this ring, [0-9a-f]{8} \(2 servers\), goes into ring [0-9a-f]{8} \(3\)/);
});

test('who was in the smaller ring is who they were, and finds what waited', async () => {
  const { bert, bob } = people;
  bert.flags = large.servers.flatMap((s) => ['--server', s.address]); // by servers that knew nothing of him
  const got = [];
  await eventually(async () => {
    got.push(...(await bert.run('recv', '--wait', '5')).json.map((m) => m.text));
    return got.length >= WAITING;
  }, 'bert has what waited for him');
  assert.deepEqual(got, [...Array(WAITING)].map((_, i) => `for bert ${i}`), 'each once, in order');
  assert.equal((await new Person('bob', large.servers).login(bob.password)).code, 0, 'bob gets in at the other servers');
});

test('who was in the larger ring notices nothing', async () => {
  const { anna, alice } = people;
  anna.flags = small.servers.flatMap((s) => ['--server', s.address]);
  const got = [];
  await eventually(async () => {
    got.push(...(await anna.run('recv', '--wait', '5')).json.map((m) => m.text));
    return got.length >= WAITING;
  }, 'anna has what waited for her');
  assert.deepEqual(got, [...Array(WAITING)].map((_, i) => `for anna ${i}`), 'each once, in order');
  const inbox = anna.spawn('recv', '--follow');
  assert.equal((await alice.run('send', 'anna', 'and now')).code, 0);
  await inbox.until(() => inbox.lines().some((l) => JSON.parse(l).text === 'and now'), 'a message of now');
  await inbox.signal('SIGTERM');
});

test('people of the two rings write to each other', async () => {
  const { alice, bert } = people;
  const inbox = bert.spawn('recv', '--follow');
  assert.equal((await alice.run('send', 'bert', 'good day, stranger')).code, 0);
  await inbox.until(() => inbox.lines().some((l) => JSON.parse(l).text === 'good day, stranger'), 'a message from the other ring');
  await inbox.signal('SIGTERM');
});

test('a name that both had stays that of the larger ring\'s account, and the log names it', async () => {
  const { zoe, otherZoe } = people;
  await said(/unite: the account zoe of ring [0-9a-f]{8} is set aside: both rings had one, and this ring's stands/);
  assert.equal((await new Person('zoe', small.servers).login(zoe.password)).code, 0, 'the larger ring\'s zoe gets in anywhere');
  assert.equal((await new Person('zoe', large.servers).login(otherZoe.password)).code, 1, 'the other one does not');
});

test('all of it outlives a restart of every server', async () => {
  await all.stop();
  for (const s of all.servers) s.listen = s.address;
  await Promise.all(all.servers.map((s) => s.start(['--join', all.servers[0].address, '--join', all.servers[4].address])));
  await all.whole();
  for (const [name, p] of Object.entries(people)) {
    if (name === 'otherZoe') continue;
    assert.equal((await new Person(p.name, [all.servers[name.length % 5]]).login(p.password)).code, 0, `${name} gets in`);
  }
});
