// What becomes of an account: another password, a forgotten one, and what the other clients of it see of that.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually, killAll, Person, Ring } from './lib.mjs';

let ring, alice, bob, recovery;

/** The same person at another machine. */
function elsewhere(person, servers = ring.servers) {
  const p = new Person(person.name, servers);
  p.password = person.password;
  return p;
}

const lines = (...secrets) => ({ input: secrets.join('\n') + '\n' });
const texts = async (person, ...args) => (await person.run('recv', ...args)).json.map((m) => m.text);

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

test('a registration shows the recovery key, once', async () => {
  const r = await alice.register();
  assert.equal(r.code, 0, r.out + r.err);
  recovery = r.json[0].recovery;
  assert.match(recovery, /^([0-9A-HJKMNP-TV-Z]{4}-){7}[0-9A-HJKMNP-TV-Z]{4}$/);
  assert.equal((await bob.register()).code, 0);
  assert.ok(!('recovery' in (await alice.run('whoami')).json[0]), 'nobody says it again');
});

test('another password: the other client is logged out, the old password is refused', async () => {
  const old = alice.password;
  const here = elsewhere(alice);
  assert.equal((await here.login()).code, 0);
  const follow = here.spawn('recv', '--follow');
  await eventually(async () => (await bob.run('status', 'alice')).json[0].online, 'alice is online');
  alice.password = 'a second password, no shorter';
  let r = await alice.run('passwd', '--password-file', '-', lines('not the password', alice.password));
  assert.equal(r.code, 1);
  assert.equal(r.json[0].error.code, 'auth');
  assert.equal((await bob.run('send', 'alice', 'one')).code, 0);
  await follow.match(/"one"/); // a wrong password disturbs nobody
  r = await alice.run('passwd', '--password-file', '-', lines(old, alice.password));
  assert.equal(r.code, 0, r.out + r.err);
  assert.equal(r.json[0].name, 'alice');
  assert.notEqual(await follow.ended, 0, 'the other client ends');
  assert.match(follow.out + follow.err, /elsewhere|taken/i);
  r = await here.run('send', 'bob', 'from the ended session');
  assert.equal(r.code, 1, `it is logged out: ${r.out}`);
  assert.equal((await bob.run('send', 'alice', 'two')).code, 0);
  assert.deepEqual(await texts(alice, '--wait', '20'), ['two']);
  r = await elsewhere(alice).login(old);
  assert.equal(r.code, 1, 'the old password');
  assert.equal(r.json[0].error.code, 'auth');
  assert.equal((await elsewhere(alice).login()).code, 0, 'the new one');
  r = await alice.run('passwd', '--password-file', '-', { input: 'one line\n' });
  assert.equal(r.code, 2);
  assert.match(r.json[0].error.hint, /two lines/);
});

test('a forgotten password: the recovery key opens what was sealed before', async () => {
  assert.equal((await bob.run('send', 'alice', 'sealed before')).code, 0);
  const here = elsewhere(alice, ring.servers.slice(2));
  const mistyped = (recovery[0] === 'Q' ? 'R' : 'Q') + recovery.slice(1);
  let r = await here.run('reset', 'alice', '--password-file', '-', lines(mistyped, 'whatever'));
  assert.equal(r.code, 1);
  assert.equal(r.json[0].error.message, 'the recovery key is mistyped');
  const nobody = new Person('alice', [{ address: '127.0.0.1:1' }]);
  r = await nobody.run('reset', 'alice', '--password-file', '-', lines(mistyped, 'whatever'));
  assert.equal(r.json[0].error.message, 'the recovery key is mistyped', 'noticed before any server is asked');
  r = await nobody.run('reset', 'alice', '--password-file', '-', lines(recovery, 'whatever'));
  assert.equal(r.code, 3, 'and a good one needs a server');

  alice.password = 'a third password, not forgotten';
  r = await here.run('reset', 'ALICE', '--password-file', '-', lines(recovery.toLowerCase().replaceAll('-', ' '), alice.password));
  assert.equal(r.code, 0, r.out + r.err);
  assert.equal(r.json[0].name, 'alice');
  assert.notEqual(r.json[0].recovery, recovery);
  assert.deepEqual(await texts(here, '--wait', '20'), ['sealed before']);
  r = await elsewhere(alice).run('reset', 'alice', '--password-file', '-', lines(recovery, 'whatever'));
  assert.equal(r.code, 1, 'the used key is used up');
  assert.equal(r.json[0].error.code, 'auth');
  ({ recovery } = (await here.run('recovery', '--password-file', '-', lines(alice.password))).json[0]);
  assert.match(recovery, /^([0-9A-HJKMNP-TV-Z]{4}-){7}/);
  assert.equal((await alice.login()).code, 0, 'the new password logs in');
  alice.password = 'a fourth one';
  r = await alice.run('reset', 'alice', '--password-file', '-', lines(recovery, alice.password));
  assert.equal(r.code, 0, 'the key that was asked for');
  ({ recovery } = r.json[0]);
});

test('settings and the display name go with the account', async () => {
  let r = await alice.run('settings', 'receipts=off', 'unread=1');
  assert.equal(r.code, 0, r.out + r.err);
  assert.deepEqual(r.json[0], { display: 'alice', receipts: false, unread: 1, session_days: 0 });
  r = await alice.run('display', 'Alice "the first" Ä.');
  assert.equal(r.code, 0, r.out + r.err);
  for (const hostile of ['a\u202eb', 'a\u0007b']) {
    r = await alice.run('display', hostile);
    assert.equal(r.code, 1, 'one line that turns nothing around');
    assert.equal(r.json[0].error.code, 'malformed');
  }
  for (const t of ['first', 'second']) assert.equal((await bob.run('send', 'alice', t)).code, 0);
  const here = elsewhere(alice);
  assert.equal((await here.login()).code, 0);
  assert.deepEqual((await here.run('settings')).json[0], { display: 'Alice "the first" Ä.', receipts: false, unread: 1, session_days: 0 });
  assert.deepEqual(await texts(here, '--wait', '20'), ['first'], 'one at a time');
  assert.deepEqual(await texts(here, '--wait', '20'), ['second']);
  await eventually(async () => {
    await bob.run('recv');
    return (await bob.run('history', 'alice')).json.at(-1).state === 'delivered';
  }, 'bob is told that it was delivered');
  assert.equal((await here.run('send', 'bob', 'did you see it?')).code, 0);
  assert.ok((await texts(bob, '--wait', '20')).includes('did you see it?'));
  assert.equal((await bob.run('history', 'alice', '--limit', '2')).json[0].state, 'delivered', 'and not that it was read');
  assert.equal((await here.run('settings', 'receipts=on', 'unread=0')).code, 0);
  r = await here.run('settings', 'receipts=perhaps');
  assert.equal(r.code, 2);
  assert.equal((await alice.login()).code, 0);
});

/** Sealed messages in the database of each server: receipts and the marks of what was fetched are much smaller. */
function sealed() {
  return ring.servers.map((s) => {
    const r = spawnSync('sqlite3', ['-readonly', join(s.data, 'peald.db'), 'SELECT count(*) FROM rows WHERE length(value) > 900'], { encoding: 'utf8' });
    assert.equal(r.status, 0, r.stderr);
    return Number(r.stdout);
  });
}

test('deleted: the name stays taken, and the mailbox is empty', async () => {
  await eventually(async () => {
    await bob.run('recv');
    await alice.run('recv');
    return sealed().every((n) => n === 0);
  }, 'nothing waits');
  const here = elsewhere(alice);
  assert.equal((await here.login()).code, 0);
  assert.equal((await alice.login()).code, 0);
  assert.equal((await bob.run('status', 'alice')).json[0].online, false);
  for (let i = 0; i < 10; i++) assert.equal((await bob.run('send', 'alice', `unread ${i}`)).code, 0);
  await eventually(async () => sealed().every((n) => n === 10), 'ten wait at every home');
  // from where the account is no more in use, so that nothing is fetched by the way
  let r = await here.run('delete', '--password-file', '-', lines('not the password'));
  assert.equal(r.code, 1);
  assert.equal(r.json[0].error.code, 'auth');
  assert.ok(sealed().every((n) => n === 10), 'nothing has changed');
  r = await here.run('delete', '--password-file', '-', lines(alice.password));
  assert.equal(r.code, 0, r.out + r.err);
  await eventually(async () => sealed().every((n) => n === 0), 'the mailbox is empty at every home');
  assert.equal((await here.run('whoami')).json[0].account, null, 'the profile is free');
  assert.equal((await here.run('history', 'bob')).code, 1, 'nobody is logged in');
  for (const server of ring.servers) {
    r = await elsewhere(alice, [server]).login();
    assert.equal(r.code, 1);
    assert.equal(r.json[0].error.code, 'not_found');
    assert.match(r.json[0].error.message, /alice was deleted/);
    r = await elsewhere(alice, [server]).register();
    assert.equal(r.code, 1);
    assert.equal(r.json[0].error.code, 'exists');
    assert.match(r.json[0].error.message, /alice was deleted; its name can be registered again in 30 days/);
    r = await elsewhere(alice, [server]).run('reset', 'alice', '--password-file', '-', lines(recovery, 'x'));
    assert.equal(r.json[0].error.code, 'not_found');
  }
  r = await alice.run('recv');
  assert.equal(r.code, 1, 'the client that had the account is told');
  r = await alice.run('whoami');
  assert.equal(r.json[0].session, 'elsewhere');
  r = await bob.run('status', 'alice');
  assert.match(r.json[0].error.message, /alice was deleted/);
});
