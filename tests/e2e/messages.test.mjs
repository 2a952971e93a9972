// What people do with messages besides writing and reading them, with real servers and a real `peal` for each command.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, folder, killAll, peal, Person, Ring } from './lib.mjs';

let ring, alice, bob;

const said = async (who, name) => (await who.run('history', name)).json;
const sent = async (who, ...args) => {
  const r = await who.run(...args);
  assert.equal(r.code, 0, r.out + r.err);
  return r.json[0];
};
/** Waits until the conversation is that at both ends, message by message: what differs between the two is left out. */
const agree = (texts) => eventually(async () => {
  const form = (m) => m.deleted_at !== undefined ? '-' : m.text + (m.edited_at !== undefined ? '*' : '');
  const a = (await said(alice, 'bob'));
  const b = (await said(bob, 'alice'));
  const same = (x) => JSON.stringify(x.map(({ state, unread, ...m }) => m));
  return JSON.stringify(a.map(form)) === JSON.stringify(texts) && same(a) === same(b);
}, `both see ${texts}`);

before(async () => {
  ring = await Ring.start(3);
  alice = new Person('alice', ring.servers.slice(0, 2));
  bob = new Person('bob', ring.servers.slice(1));
  for (const who of [alice, bob]) assert.equal((await who.register()).code, 0);
});
after(async () => {
  try {
    assert.deepEqual(await ring.stop(), [0, 0, 0], 'SIGTERM ends each server in good order');
  } finally {
    await killAll();
  }
});

test('edit, answer and delete: both see the same', async () => {
  const one = await sent(alice, 'send', 'bob', 'helo');
  const two = await sent(alice, 'send', 'bob', 'where are you?');
  await agree(['helo', 'where are you?']);
  const edited = await sent(alice, 'edit', one.id, 'hello');
  assert.equal(edited.id, one.id);
  assert.equal(edited.state, 'stored');
  const answer = await sent(bob, 'send', 'alice', 'here', '--reply', two.id.slice(-8));
  await agree(['hello*', 'where are you?', 'here']);
  assert.equal((await said(alice, 'bob'))[2].reply_to, two.id);

  let r = await bob.run('edit', one.id, 'goodbye');
  assert.equal(r.code, 1);
  assert.equal(r.json[0].error.code, 'refused', 'only the author edits');
  r = await bob.run('unsend', one.id);
  assert.equal(r.json[0].error.code, 'refused', 'or deletes');

  await sent(bob, 'unsend', answer.id);
  await agree(['hello*', 'where are you?', '-']);
  assert.equal((await said(alice, 'bob'))[2].text, '', 'nothing of the text is left');
});

test('forget, drafts, and what is unread', async () => {
  const [, , last] = await said(alice, 'bob');
  assert.equal((await sent(alice, 'forget', '--id', last.id)).count, 1);
  await sent(alice, 'send', 'bob', 'unread one');
  await eventually(async () => {
    await said(bob, 'alice');
    return (await sent(bob, 'unread')).total === 3;
  }, 'bob counts what he has not read');
  assert.deepEqual(await sent(bob, 'unread'), { total: 3, conversations: [{ name: 'alice', unread: 3 }] });
  assert.equal((await bob.run('recv', '--max', '2')).json.length, 2);
  assert.equal((await sent(bob, 'unread')).total, 1);
  assert.deepEqual((await said(alice, 'bob')).map((m) => m.text), ['hello', 'where are you?', 'unread one']);
  assert.equal((await said(bob, 'alice')).length, 4, 'the other side keeps it');

  assert.equal((await sent(alice, 'draft', 'bob', 'to be slept over')).text, 'to be slept over');
  assert.equal((await sent(alice, 'draft', 'bob')).text, 'to be slept over');
  assert.equal((await sent(alice, 'draft', 'bob', '')).text, '');
  assert.equal((await sent(bob, 'forget', 'alice')).count, 4);
  assert.deepEqual(await said(bob, 'alice'), []);
});

test('search, export, import', async () => {
  await sent(alice, 'send', 'bob', 'The Needle');
  await sent(alice, 'send', 'bob', 'hay '.repeat(16000));
  assert.deepEqual((await alice.run('search', 'needle', '--with', 'bob')).json.map((m) => m.text), ['The Needle']);
  assert.deepEqual((await alice.run('search', 'no such thing')).json, []);

  const file = join(folder('export'), 'bob.json');
  let r = await alice.run('export', 'bob');
  assert.equal(r.code, 0, r.err);
  writeFileSync(file, r.out);
  assert.deepEqual(r.json.map((m) => m.id), (await said(alice, 'bob')).map((m) => m.id));
  const text = await peal(alice.profile, ...alice.flags, 'export', 'bob', '--format', 'text');
  assert.match(text.out, /alice: The Needle/);

  assert.deepEqual(await sent(alice, 'import', 'bob', file), { added: 0, passed: r.json.length });
  await sent(alice, 'forget', 'bob');
  assert.deepEqual(await said(alice, 'bob'), []);
  assert.deepEqual(await sent(alice, 'import', 'bob', '-', { input: r.out }), { added: r.json.length, passed: 0 });
  const back = await said(alice, 'bob');
  assert.deepEqual(back.map((m) => [m.id, m.text]), r.json.map((m) => [m.id, m.text]));
  assert.ok(back.every((m) => m.imported));

  writeFileSync(file, '{"id":');
  r = await alice.run('import', 'bob', file);
  assert.equal(r.code, 1);
  assert.equal(r.json[0].error.code, 'malformed');
  assert.equal((await alice.run('import', 'bob', '/nonexistent')).code, 2);
});

test('messages that vanish', async () => {
  assert.equal((await sent(alice, 'vanish', 'bob', '1')).state, 'stored');
  await eventually(async () => {
    await said(bob, 'alice');
    return (await sent(bob, 'vanish', 'alice')).seconds === 1;
  }, 'bob agrees');
  const secret = await sent(bob, 'send', 'alice', 'for your eyes');
  await eventually(async () => (await alice.run('recv')).json.some((m) => m.id === secret.id), 'alice reads it');
  for (const [who, name] of [[alice, 'bob'], [bob, 'alice']]) {
    await eventually(async () => !(await said(who, name)).some((m) => m.id === secret.id), `it vanishes from ${who.name}'s profile`);
  }
  assert.equal((await alice.run('vanish', 'bob', 'soon')).code, 2);
  assert.equal((await sent(alice, 'vanish', 'bob', 'off')).state, 'stored');
});
