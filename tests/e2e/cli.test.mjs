// The command line, as scripts may rely on it: every command, its JSON, its exit codes, and what it says when something is wrong.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join } from 'node:path';
import { bin, eventually, folder, killAll, peal, Person, Proc, Ring, Server, ringKeyFile } from './lib.mjs';

let ring, alice, bob;

before(async () => {
  ring = await Ring.start(3);
  alice = new Person('alice', ring.servers.slice(0, 2));
  bob = new Person('bob', ring.servers.slice(1));
});
after(async () => {
  try {
    assert.deepEqual(await ring.stop(), [0, 0, 0], 'SIGTERM ends each server in good order');
  } finally {
    await killAll();
  }
});

test('register, whoami, and a name has one owner', async () => {
  let r = await alice.register();
  assert.equal(r.code, 0, r.out + r.err);
  assert.equal((await alice.run('whoami')).json[0].name, 'alice');
  assert.equal((await bob.register()).code, 0);
  const other = new Person('alice', ring.servers.slice(2));
  r = await other.register();
  assert.equal(r.code, 1, 'taken is refused');
  assert.equal(r.json[0].error.code, 'exists');
  assert.match(r.json[0].error.message, /taken/);
  assert.ok(r.json[0].error.hint.length > 0, 'says what to do');
});

test('a message: stored, delivered, read; history on both sides', async () => {
  let r = await alice.run('send', 'bob', 'hello bob');
  assert.equal(r.code, 0, r.out + r.err);
  const sent = r.json[0];
  assert.deepEqual(Object.keys(sent).sort(), ['id', 'state', 'to']);
  assert.equal(sent.to, 'bob');
  assert.equal(sent.state, 'stored');

  r = await bob.run('recv', '--wait', '20');
  assert.equal(r.code, 0, r.out + r.err);
  assert.equal(r.json.length, 1);
  const got = r.json[0];
  for (const k of ['id', 'from', 'to', 'text', 'sent_at', 'state']) assert.ok(k in got, k);
  assert.equal(got.id, sent.id);
  assert.equal(got.from, 'alice');
  assert.equal(got.to, 'bob');
  assert.equal(got.text, 'hello bob');
  assert.ok(Math.abs(got.sent_at - Date.now()) < 3_600_000, 'Unix milliseconds');

  await eventually(async () => {
    await alice.run('recv');
    const h = (await alice.run('history', 'bob')).json;
    return h.length === 1 && h[0].state === 'read';
  }, 'alice sees that bob has read it');
  assert.equal((await bob.run('recv')).json.length, 0, 'once');
  assert.equal((await bob.run('history', 'alice')).json[0].text, 'hello bob');
});

test('while bob is away three wait for him, and come once and in order', async () => {
  for (const t of ['one', 'two', 'three']) assert.equal((await alice.run('send', 'bob', t)).code, 0);
  const got = [];
  await eventually(async () => {
    got.push(...(await bob.run('recv', '--wait', '5')).json.map((m) => m.text));
    return got.length >= 3;
  }, 'three messages');
  assert.deepEqual(got, ['one', 'two', 'three']);
  assert.equal((await bob.run('recv')).json.length, 0);
});

test('recv --follow streams, and other commands go through the client that runs', async () => {
  const follow = bob.spawn('recv', '--follow');
  await eventually(async () => (await alice.run('status', 'bob')).json[0].online, 'bob is online');
  assert.equal((await alice.run('send', 'bob', 'live')).code, 0);
  await follow.match(/"live"/);
  const r = await bob.run('send', 'alice', 'through the one that runs');
  assert.equal(r.code, 0, r.out + r.err);
  assert.equal(r.json[0].state, 'stored');
  assert.equal((await bob.run('whoami')).json[0].name, 'bob');
  assert.equal(await follow.signal('SIGTERM'), 0, 'ends in good order');
  const texts = (await alice.run('recv', '--wait', '20')).json.map((m) => m.text);
  assert.deepEqual(texts, ['through the one that runs']);
});

/** What a shell makes of a line with `peal recv` in it, as this person. */
function shell(person, line) {
  const self = [join(bin, 'peal'), '--profile', person.profile, ...person.flags, '--json'].join(' ');
  return new Proc('bash', ['-c', line.replaceAll('peal recv', `${self} recv`)], { name: line, env: { PEAL_MULTICAST: 'off' } });
}

/** The state that the sender knows of the latest message. */
async function latestState() {
  await alice.run('recv');
  return (await alice.run('history', 'bob', '--limit', '1')).json[0].state;
}

test('what cannot be written out stays unread, by itself and through another client', async () => {
  const owners = [undefined, 'peal web --listen 127.0.0.1:0'];
  for (const owner of owners) {
    const text = owner ? 'through another' : 'by itself';
    assert.equal((await alice.run('send', 'bob', text)).code, 0);
    const web = owner && new Proc(join(bin, 'peal'), ['--profile', bob.profile, ...bob.flags, 'web', '--listen', '127.0.0.1:0'],
      { name: owner, env: { PEAL_MULTICAST: 'off' } });
    if (web) await web.match(/^ready web=/m);
    for (const line of ['peal recv --wait 20 >/dev/full', 'peal recv --follow >/dev/full', 'peal recv --wait 20 >&-']) {
      const p = shell(bob, line);
      assert.equal(await p.ended, 1, line + p.err);
      assert.match(p.err, /^peal: standard output cannot be written: \S/m, line);
      if (web) assert.match(p.err, /^peal: --server is not used/m, 'says whose servers are used');
    }
    assert.notEqual(await latestState(), 'read', 'the sender is not told that it was read');
    const r = await bob.run('recv', '--wait', '20');
    assert.deepEqual(r.json.map((m) => m.text), [text], 'it is still there');
    await eventually(async () => await latestState() === 'read', 'read now');
    if (web) assert.equal(await web.signal('SIGTERM'), 0);
  }
});

test('of several, those that were written out are read, and the others wait', async () => {
  const web = new Proc(join(bin, 'peal'), ['--profile', bob.profile, ...bob.flags, 'web', '--listen', '127.0.0.1:0'],
    { name: 'web', env: { PEAL_MULTICAST: 'off' } });
  await web.match(/^ready web=/m);
  const long = 'x'.repeat(2000);
  for (const text of ['short', long]) assert.equal((await alice.run('send', 'bob', text)).code, 0);
  const h = async () => (await bob.run('history', 'alice', '--limit', '1')).json[0].text;
  await eventually(async () => await h() === long, 'both are here');
  const out = join(folder('limited'), 'out');
  const p = shell(bob, `trap '' XFSZ; ulimit -f 1; peal recv --wait 20 >${out}`); // files of 1024 bytes at most
  assert.equal(await p.ended, 1, p.err);
  assert.match(p.err, /standard output cannot be written: File too large/);
  assert.deepEqual((await bob.run('recv', '--wait', '20')).json.map((m) => m.text), [long]);
  assert.equal(await web.signal('SIGTERM'), 0);
});

test('recv --follow ends with its reader, by itself and through another client', async () => {
  for (const through of [false, true]) {
    const web = through && new Proc(join(bin, 'peal'), ['--profile', bob.profile, ...bob.flags, 'web', '--listen', '127.0.0.1:0'],
      { name: 'web', env: { PEAL_MULTICAST: 'off' } });
    if (web) await web.match(/^ready web=/m);
    const p = shell(bob, '(peal recv --follow; echo "status $?" >&2) | head -1');
    await eventually(async () => (await alice.run('status', 'bob')).json[0].online, 'bob is online');
    assert.equal((await alice.run('send', 'bob', 'first')).code, 0);
    assert.equal(await p.ended, 0, p.err); // nothing more was sent: the end of the reader alone ends it
    assert.match(p.out, /"first"/);
    assert.match(p.err, /^status 0$/m);
    assert.doesNotMatch(p.err, /cannot be written/);
    assert.equal((await alice.run('send', 'bob', 'second')).code, 0);
    assert.deepEqual((await bob.run('recv', '--wait', '20')).json.map((m) => m.text), ['second'], 'the next is not lost');
    if (web) assert.equal(await web.signal('SIGTERM'), 0);
  }
});

test('text from standard input, --max, and texts that are no good', async () => {
  assert.equal((await alice.run('send', 'bob', '-', { input: 'line one\nline two ✓\n' })).code, 0);
  assert.equal((await alice.run('send', 'bob', 'second')).code, 0);
  let r = await bob.run('recv', '--wait', '20', '--max', '1');
  assert.equal(r.json.length, 1);
  assert.equal(r.json[0].text.trimEnd(), 'line one\nline two ✓');
  r = await bob.run('recv', '--wait', '20', '--max', '5');
  assert.deepEqual(r.json.map((m) => m.text), ['second']);

  r = await alice.run('send', 'bob', '-', { input: Buffer.alloc(70_000, 'x').toString() });
  assert.equal(r.code, 1, 'too long');
  assert.match(r.json[0].error.message, /long|64/i);
  r = await alice.run('send', 'bob', '-', { input: Buffer.from([0xff, 0xfe, 0x41]) });
  assert.notEqual(r.code, 0, 'not UTF-8');
  assert.ok(r.json[0].error.message);
  assert.equal((await bob.run('recv')).json.length, 0, 'nothing of it was sent');
});

test('what is refused: exit 1, and what is wrong usage: exit 2', async () => {
  let r = await alice.run('send', 'nobody-here', 'x');
  assert.equal(r.code, 1);
  assert.equal(r.json[0].error.code, 'not_found');
  r = await alice.run('status', 'nobody-here');
  assert.equal(r.code, 1);
  r = await new Person('alice', ring.servers).login('a wrong password');
  assert.equal(r.code, 1);
  assert.match(r.json[0].error.message, /password/);
  r = await new Person('nobody-here', ring.servers).login();
  assert.equal(r.code, 1);
  const stranger = new Person('stranger', ring.servers);
  r = await stranger.run('send', 'bob', 'x');
  assert.equal(r.code, 1, 'not logged in');
  assert.match(r.json[0].error.hint, /login|register/);
  for (const args of [['frobnicate'], ['send', 'bob'], ['recv', '--wait', 'soon'], ['recv', '--max', '-1'], ['--no-such-option', 'whoami'], []]) {
    r = await peal(alice.profile, ...args);
    assert.equal(r.code, 2, `usage: ${args.join(' ')}: ${r.out}${r.err}`);
    assert.ok(r.err.length > 0, 'says what is wrong');
  }
  r = await new Person('Not A Name!', ring.servers).register();
  assert.notEqual(r.code, 0);
  assert.match(r.json[0].error.message, /name/i);
  r = await peal(alice.profile, '--json', 'register', 'x', '--password-file', '/nonexistent/password');
  assert.notEqual(r.code, 0);
  assert.match(r.json[0].error.message, /\/nonexistent\/password/);
});

test('a name is found however it is written', async () => {
  const r = await alice.run('status', 'BOB');
  assert.equal(r.code, 0, r.out + r.err);
  assert.equal(r.json[0].name, 'bob');
  for (const k of ['name', 'online', 'last_seen']) assert.ok(k in r.json[0], k);
});

test('ring status: one object, with the types that its names promise', async () => {
  for (const s of ring.servers) {
    const r = await peal(folder('status'), '--server', s.address, 'ring', 'status', '--json');
    assert.equal(r.code, 0, r.out + r.err);
    assert.equal(r.json.length, 1);
    const [view] = r.json;
    assert.equal(view.whole, true);
    assert.equal(view.size, 3);
    assert.ok(Number.isSafeInteger(view.epoch) && view.epoch > 0, 'epoch');
    assert.deepEqual(view.nodes.map((n) => n.id).sort(), ring.servers.map((n) => n.id).sort());
    assert.ok(view.nodes.some((n) => n.id === view.coordinator), 'the coordinator is one of them');
    const sorted = view.nodes.map((n) => n.id).sort();
    for (const n of view.nodes) {
      const i = sorted.indexOf(n.id);
      assert.equal(n.successor, sorted[(i + 1) % 3]);
      assert.equal(n.predecessor, sorted[(i + 2) % 3]);
      assert.equal(n.address, ring.servers.find((x) => x.id === n.id).address);
      assert.ok(Number.isSafeInteger(n.incarnation) && n.incarnation > 0, 'incarnation');
      assert.equal(n.state, 'up');
    }
  }
});

test('ring lookup: each server names the same owner, and the way begins at it and ends there', async () => {
  const sorted = ring.servers.map((s) => s.id).sort();
  const keys = new Map();
  for (const name of ['alice', 'Alice', 'nobody-here', 'zoë']) {
    for (const s of ring.servers) {
      const r = await peal(folder('lookup'), '--server', s.address, 'ring', 'lookup', name, '--json');
      assert.equal(r.code, 0, r.out + r.err);
      assert.equal(r.json.length, 1);
      const [found] = r.json;
      assert.deepEqual(Object.keys(found), ['key', 'owner', 'path', 'hops', 'microseconds']);
      assert.match(found.key, /^[0-9a-f]{40}$/);
      assert.equal(keys.get(name) ?? found.key, found.key, 'one key');
      keys.set(name, found.key);
      assert.equal(found.owner, sorted.find((id) => id >= found.key) ?? sorted[0], 'the first server at or after the key');
      assert.equal(found.path[0], s.id, 'the asked server');
      assert.equal(found.path.at(-1), found.owner);
      assert.equal(new Set(found.path).size, found.path.length, 'nobody twice');
      assert.ok(found.path.every((id) => sorted.includes(id)));
      assert.equal(found.hops, found.path.length - 1);
      assert.ok(Number.isSafeInteger(found.microseconds) && found.microseconds >= 0, 'microseconds');
    }
  }
  assert.equal(keys.get('alice'), keys.get('Alice'), 'however it is written');
  assert.equal(new Set(keys.values()).size, 3);
  let r = await peal(folder('lookup'), '--server', ring.servers[0].address, 'ring', 'lookup', 'alice');
  assert.equal(r.code, 0, r.out + r.err);
  assert.match(r.out, /^alice's key [0-9a-f]{12}… is at server [0-9a-f]{12}… \(\d hops?, \d+ µs\)\n  this server [0-9a-f]{12}…/);
  r = await alice.run('ring', 'lookup', 'bob'); // with a session as well
  assert.equal(r.code, 0, r.out + r.err);
  r = await alice.run('ring', 'lookup', 'no name!');
  assert.equal(r.code, 1);
  assert.equal(r.json[0].error.code, 'malformed');
  r = await alice.run('ring', 'lookup');
  assert.equal(r.code, 2);
  const dead = ring.servers[0].address.replace(/:\d+$/, ':1');
  r = await peal(folder('lookup'), '--server', dead, '--json', 'ring', 'lookup', 'alice');
  assert.equal(r.code, 3);
  assert.equal(r.json[0].error.code, 'unavailable');
});

test('no server reached: exit 3, the message is queued, and goes out when there is one', async () => {
  const key = ringKeyFile();
  const lone = await new Server({ index: 9, key, replicas: 0 }).start();
  const carol = new Person('carol', [lone]);
  const dave = new Person('dave', [lone]);
  assert.equal((await carol.register()).code, 0);
  assert.equal((await dave.register()).code, 0);
  assert.equal((await carol.run('send', 'dave', 'first')).code, 0);
  const port = lone.address.split(':')[1];
  await lone.kill();
  let r = await carol.run('send', 'dave', 'second');
  assert.equal(r.code, 3, r.out + r.err);
  assert.equal(r.json[0].state, 'queued');
  r = await new Person('erin', [lone]).register();
  assert.equal(r.code, 3);
  assert.ok(r.json[0].error.hint);
  lone.listen = `127.0.0.9:${port}`;
  await lone.start();
  await carol.run('recv', '--wait', '1');
  const got = [];
  await eventually(async () => {
    await carol.run('whoami');
    got.push(...(await dave.run('recv', '--wait', '2')).json.map((m) => m.text));
    if (got.length < 2) await carol.run('recv', '--wait', '1');
    return got.length >= 2;
  }, 'both messages');
  assert.deepEqual(got, ['first', 'second']);
  assert.equal(await lone.stop(), 0);
});

test('logout, login elsewhere: the new client has the account, the old one is told', async () => {
  const follow = alice.spawn('recv', '--follow');
  await eventually(async () => (await bob.run('status', 'alice')).json[0].online, 'alice is online');
  const elsewhere = new Person('alice', ring.servers.slice(2));
  elsewhere.password = alice.password;
  assert.equal((await elsewhere.login()).code, 0);
  const code = await follow.ended;
  assert.notEqual(code, 0, 'the old client ends');
  assert.match(follow.out + follow.err, /elsewhere|taken/i);
  assert.equal((await bob.run('send', 'alice', 'to the new place')).code, 0);
  assert.deepEqual((await elsewhere.run('recv', '--wait', '20')).json.map((m) => m.text), ['to the new place']);
  assert.equal((await elsewhere.run('logout')).code, 0);
  assert.equal((await elsewhere.run('send', 'bob', 'x')).code, 1, 'logged out');
  assert.equal((await alice.login()).code, 0);
});

test('help and version', async () => {
  for (const args of [['--help'], ['send', '--help'], ['--version']]) {
    const r = await peal(folder('help'), ...args);
    assert.equal(r.code, 0, args.join(' '));
    assert.ok(r.out.length > 5);
  }
});
