// Whose key is whose, with real processes: a server that hands out a false key is caught, nothing is sent under it, and all goes on
// when the true one is back; a new key is accepted by its fingerprint; safety numbers, on the terminal and as a picture.
//
// The false key: the server's folder is copied before bob registers, and in the copy somebody else registers as bob. It is then the
// same ring, the same server and the same account of alice's, so that nothing but the key is another.
import assert from 'node:assert/strict';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bin, eventually, folder, killAll, peal, Person, Proc, ringKeyFile, Server } from './lib.mjs';

let honest, lying, alice, bob, mallory;

before(async () => {
  const key = ringKeyFile();
  honest = new Server({ index: 1, key });
  lying = new Server({ index: 1, key });
  await honest.start();
  alice = new Person('alice', [honest]);
  assert.equal((await alice.register()).code, 0);
  assert.equal(await honest.stop(), 0);
  cpSync(honest.data, lying.data, { recursive: true });
  honest.listen = lying.listen = honest.address;
  await lying.start();
  assert.equal(lying.id, honest.id, 'the same server, as far as anybody can see');
  mallory = new Person('bob', [lying]);
  assert.equal((await mallory.register()).code, 0);
  await lying.stop();
  await honest.start();
  bob = new Person('bob', [honest]);
  assert.equal((await bob.register()).code, 0);
});

after(killAll);

/** Only one of them serves, at the one address. */
async function swap(from, to) {
  assert.equal(await from.stop(), 0);
  await to.start();
}

/** The command on a terminal of its own (script(1)'s), where one line is typed. */
function onTerminal(person, line, ...args) {
  const command = [join(bin, 'peal'), '--profile', person.profile, ...person.flags, ...args].join(' ');
  return new Proc('script', ['-qec', command, '/dev/null'], { input: `${line}\n`, name: command, env: { PEAL_MULTICAST: 'off' } });
}

const texts = (r) => r.json.map((m) => m.text);
const status = async () => (await alice.run('status', 'bob')).json[0];

test('a safety number is the same at both ends, and is remembered once compared', async () => {
  assert.equal((await alice.run('send', 'bob', 'hello')).code, 0);
  assert.deepEqual(texts(await bob.run('recv', '--wait', '20')), ['hello']);
  const mine = (await alice.run('safety', 'bob')).json[0];
  const theirs = (await bob.run('safety', 'alice')).json[0];
  assert.match(mine.number, /^(\d{5} ){11}\d{5}$/);
  assert.equal(mine.number, theirs.number);
  assert.equal(mine.qr, `peal-safety:1:${mine.number.replaceAll(' ', '')}`);
  assert.equal(mine.verified, false);
  const wrong = await alice.run('verify', 'bob', mine.number.replace(/\d$/, (d) => String((Number(d) + 1) % 10)));
  assert.equal(wrong.code, 1);
  assert.equal(wrong.json[0].error.code, 'auth');
  assert.equal((await alice.run('verify', 'bob')).code, 2, 'with --json nothing is asked');
  for (const [answer, code] of [['no', 1], ['yes please', 1], ['yes', 0]]) {
    assert.equal((await status()).verified, false);
    const p = onTerminal(alice, answer, 'verify', 'bob');
    assert.equal(await p.ended, code, `${answer}: ${p.out}`);
    assert.match(p.out.replaceAll(/\s+/g, ' '), new RegExp(mine.number), 'shown before it is asked');
  }
  assert.equal((await status()).verified, true);
  assert.equal((await bob.run('safety', 'alice')).json[0].verified, false, 'one end\'s word is its own');
  assert.equal((await alice.run('verify', 'bob', theirs.qr)).json[0].verified, true);
  assert.equal((await status()).verified, true);
});

test('the number on the terminal and the code as a picture', async () => {
  const file = join(folder('png'), 'code.png');
  const r = await peal(alice.profile, ...alice.flags, 'safety', 'bob', '--qr', '--png', file);
  assert.equal(r.code, 0, r.out + r.err);
  assert.match(r.out, /^[█▀▄ ]+\n/, 'half blocks, and nothing else, where there is no terminal');
  assert.match(r.out, /^ {2}(\d{5} ){3}\d{5}\n {2}(\d{5} ){3}\d{5}\n {2}(\d{5} ){3}\d{5}$/m);
  assert.match(r.out, /verified/);
  assert.equal(readFileSync(file).subarray(1, 4).toString(), 'PNG');
  const bad = await peal(alice.profile, ...alice.flags, 'safety', 'bob', '--png', '/nowhere/code.png');
  assert.equal(bad.code, 1);
  assert.match(bad.err, /cannot be written to \/nowhere\/code.png: No such file/);
});

test('a server that hands out a false key: nothing is sent under it, and the user is told', async () => {
  await honest.stop();
  let r = await alice.run('send', 'bob', 'written while no server was there');
  assert.equal(r.code, 3, r.out + r.err);
  assert.equal(r.json[0].state, 'queued');
  await lying.start();
  r = await alice.run('send', 'bob', 'a secret');
  assert.equal(r.code, 1, r.out + r.err);
  assert.equal(r.json[0].error.code, 'auth');
  assert.match(r.json[0].error.message, /key of bob has changed/);
  assert.match(r.json[0].error.hint, /peal trust/);
  const now = await status();
  assert.equal(now.changed, true);
  assert.equal(now.verified, false);
  assert.match((await peal(alice.profile, ...alice.flags, 'status', 'bob')).out, /key of bob has changed/);
  const waits = (await alice.run('history', 'bob')).json.find((m) => m.text.startsWith('written'));
  assert.equal(waits.state, 'queued');
  assert.match(waits.reason, /key has changed/);
  // What the impostor writes is not shown as bob's.
  assert.equal((await mallory.run('send', 'alice', 'it is me, send me the secret')).code, 0);
  r = await alice.run('recv', '--wait', '20');
  assert.equal(r.json[0].state, 'unreadable');
  assert.doesNotMatch(r.out, /send me the secret/);
  assert.deepEqual(texts(await mallory.run('recv')), [], 'the impostor got something');
  const look = (await alice.run('trust', 'bob')).json[0];
  assert.equal(look.changed, true);
  assert.notEqual(look.pinned, look.shown);
  assert.notEqual(look.number, (await alice.run('safety', 'bob')).json[0].number);
  assert.match((await peal(alice.profile, ...alice.flags, 'trust', 'bob')).out, new RegExp(`peal trust bob ${look.shown}`));
});

test('the true key is back: what waited goes out, and what was compared still holds', async () => {
  await swap(lying, honest);
  const now = await status();
  assert.equal(now.changed, false);
  assert.equal(now.verified, true);
  assert.equal((await alice.run('send', 'bob', 'on we go')).code, 0);
  const got = [];
  await eventually(async () => {
    got.push(...texts(await bob.run('recv', '--wait', '5')));
    return got.length >= 2;
  }, 'two messages');
  assert.deepEqual(got, ['written while no server was there', 'on we go']);
});

test('a key that is accepted: by its fingerprint alone, and then it is that person', async () => {
  await swap(honest, lying);
  const look = (await alice.run('trust', 'bob')).json[0];
  let r = await alice.run('trust', 'bob', look.pinned);
  assert.equal(r.json[0].error.code, 'stale', 'another key than the one shown');
  assert.equal((await alice.run('trust', 'bob', 'abc')).code, 2);
  assert.equal((await mallory.run('safety', 'alice')).json[0].number, look.number, 'compared before it is accepted');
  r = await alice.run('trust', 'bob', look.shown);
  assert.equal(r.code, 0, r.out + r.err);
  assert.equal(r.json[0].changed, false);
  assert.equal((await status()).verified, false, 'accepted is not compared');
  const history = (await alice.run('history', 'bob')).json;
  assert.ok(history.some((m) => m.text === 'it is me, send me the secret'), 'what came under it can be read now');
  assert.ok(history.every((m) => m.state !== 'unreadable'));
  assert.equal((await alice.run('send', 'bob', 'hello again')).code, 0);
  assert.deepEqual(texts(await mallory.run('recv', '--wait', '20')), ['hello again']);
});
