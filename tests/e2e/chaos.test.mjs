// What is promised, under load, while things go wrong: real servers killed with -9, restarted one by one, replaced for good, out of disk.
// Who does what and the judge are in chaos.mjs. Each test prints its seed, and the line that plays its schedule again.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { judge, killing, rolling, story } from './chaos.mjs';
import { eventually, filesBelow, folder, killAll, peal, Person, Server, SmallDisk } from './lib.mjs';

const seed = Number(process.env.PEAL_CHAOS_SEED ?? randomInt(2 ** 31));
const SECONDS = 20; // of load, in each of the two tests that kill
const COPIES = 3; // R: K = 2 and the first
const WAITING = 10; // messages for somebody who is away while servers are replaced
const DISK_KIB = 24 << 10;

const options = (t, name) => ({ seed, say: (text) => t.diagnostic(`${name}: ${text}`) });

after(async () => {
  await killAll();
  SmallDisk.unmountAll();
});

test('the judge sees what is wrong', async () => {
  const text = 'good day';
  const good = [
    { at: 10, op: 'register', name: 'n', password: 'a', began: 1, outcome: 'mine' },
    { at: 11, op: 'register', name: 'n', password: 'b', began: 2, outcome: 'exists' },
    { at: 15, op: 'login', name: 'n', password: 'a', began: 12, outcome: 'mine' },
    { at: 16, op: 'login', name: 'n', password: 'b', began: 12, outcome: 'auth' },
    { at: 20, op: 'sent', id: 'm', who: 'x', to: 'y', text, began: 18, state: 'queued' },
    { at: 21, op: 'state', id: 'm', who: 'x', state: 'stored' },
    { at: 22, op: 'shown', id: 'm', who: 'y', from: 'x', to: 'y', text },
    { at: 23, op: 'state', id: 'm', who: 'x', state: 'read' },
    { at: 30, op: 'kept', id: 'm', who: 'x', from: 'x', to: 'y', text, state: 'read' },
    { at: 31, op: 'kept', id: 'm', who: 'y', from: 'x', to: 'y', text, state: 'read' },
    { at: 32, op: 'go', who: 'x', code: 0 },
  ];
  assert.deepEqual(await judge(good, { strict: true }), []);
  const with_ = (i, change) => good.map((l, k) => (k === i ? { ...l, ...change } : l));
  const without = (i) => good.filter((_, k) => k !== i);
  const bad = {
    'two owners': with_(1, { outcome: 'mine' }),
    'a name refused that nobody has': without(0).filter((l) => l.op !== 'login'),
    'the owner is not let in': with_(2, { outcome: 'auth' }),
    'the account is gone': with_(2, { outcome: 'not_found' }),
    'somebody else is let in': with_(3, { outcome: 'mine' }),
    'lost': without(6),
    'shown twice': [...good, { ...good[6], at: 40 }],
    'shown to another': with_(6, { who: 'z', to: 'z' }),
    'another text': with_(6, { text: 'good night' }),
    'never sent': without(4),
    'back to an earlier state': [...good, { ...good[5], at: 40 }],
    'given up': with_(5, { state: 'failed' }),
    'not kept by whom it was for': without(9),
    'never known as read': with_(8, { state: 'delivered' }),
    'a send refused': [...good, { at: 41, op: 'refused', who: 'x', to: 'y', text, began: 40, code: 'unavailable' }],
    'a client that fell over': with_(10, { code: 1 }),
    'somebody was told that it failed': [...good, { at: 42, op: 'login', name: 'n', password: 'a', began: 40, outcome: 'unavailable' }],
  };
  for (const [what, lines] of Object.entries(bad)) assert.notDeepEqual(await judge(lines, { strict: true }), [], what);
});

test('five servers, up to two at once killed with -9 and started again: nothing lost, nothing twice, each name one owner', async (t) => {
  await killing({ servers: 5, seconds: SECONDS, ...options(t, 'five') });
});

test('nine servers, likewise', async (t) => {
  await killing({ servers: 9, seconds: SECONDS, ...options(t, 'nine') });
});

test('each server restarted in turn, in good order: nobody is told that anything failed', async (t) => {
  await rolling({ servers: 5, ...options(t, 'rolling') });
});

// ---- servers that are gone for good ----

const ringStatus = async (ring) => (await peal(folder('status'), '--server', ring.up()[0].address, '--json', 'ring', 'status')).json[0];

/** Waits until each of these messages lies on so many servers' disks as there are to be copies. */
async function copied(ring, ids) {
  const wanted = ids.map((id) => Buffer.from(id, 'hex'));
  await eventually(() => {
    const disks = ring.up().map((s) => filesBelow(s.data).filter((f) => /peald\.db/.test(f.path)).map((f) => f.bytes));
    return wanted.every((id) => disks.filter((files) => files.some((b) => b.includes(id))).length >= COPIES);
  }, `${ids.length} messages lie on ${COPIES} servers each`);
}

/** One server and its folder are gone; another one, which nobody knows, comes. */
async function replace(ring, load, gone) {
  load.history.add('fault', { gone: gone.id });
  await gone.kill();
  rmSync(gone.data, { recursive: true });
  ring.past.push({ name: gone.proc.name, err: gone.proc.err });
  ring.servers.splice(ring.servers.indexOf(gone), 1);
  const fresh = new Server({ index: ring.nextIndex++, key: ring.key, group: ring.group, replicas: 2 });
  ring.servers.push(fresh);
  await fresh.start();
  fresh.listen = fresh.address;
  load.history.add('fault', { fresh: fresh.id });
  await eventually(async () => {
    await peal(folder('operator'), '--server', fresh.address, 'ring', 'remove', gone.id, '--ring-key-file', ring.key);
    return !(await ringStatus(ring)).nodes.some((n) => n.id === gone.id);
  }, `${gone.id} is out of the roster`);
  await ring.whole();
}

test('servers are lost for good, one after the other, and others come: what was stored stays', async (t) => {
  const ids = [];
  const dead = [];
  await story({
    servers: 5, ...options(t, 'replaced'),
    work: async (ring, load) => {
      ring.nextIndex = 7;
      const writer = new Person('writer', ring.servers);
      const absent = new Person('absent', ring.servers);
      for (const p of [writer, absent]) assert.equal((await p.register()).code, 0);
      for (let i = 0; i < WAITING; i++) {
        const r = await writer.run('send', 'absent', `while you were away ${i}`);
        assert.equal(r.code, 0, r.out);
        ids.push(r.json[0].id);
      }
      for (const gone of ring.servers.slice(0, 5)) {
        await copied(ring, ids);
        await replace(ring, load, gone);
        dead.push(gone.id);
      }
      await copied(ring, ids);
      const got = [];
      absent.flags = ring.up().flatMap((s) => ['--server', s.address]);
      await eventually(async () => {
        got.push(...(await absent.run('recv', '--wait', '5')).json.map((m) => m.text));
        return got.length >= WAITING;
      }, 'what waited is there');
      assert.deepEqual(got, ids.map((_, i) => `while you were away ${i}`));
    },
  });
  t.diagnostic(`${dead.length} of 5 servers replaced`);
});

// ---- a full disk ----

test('one server\'s disk is full under load, and then has room again: nothing lost, and it serves again', {
  skip: !SmallDisk.possible && 'mounting a small file system takes root',
}, async (t) => {
  const disk = new SmallDisk('full', DISK_KIB);
  await story({
    servers: 5, ...options(t, 'full'),
    ringOptions: { folderOf: (index) => (index === 3 ? join(disk.path, 'data') : undefined) },
    work: async (ring, load) => {
      const full = ring.servers.find((s) => s.data.startsWith(disk.path));
      load.history.add('fault', { full: full.id });
      disk.fill();
      await full.proc.match(/steps back until it is well again/, { from: 'err' });
      const stored = () => load.history.lines.filter((l) => l.op === 'state' && l.state !== 'queued').length;
      const before = stored();
      await load.history.until(() => stored() > before + 50, () => 'messages are stored while one disk is full');
      load.history.add('fault', { room: full.id });
      const at = full.proc.err.length;
      disk.empty();
      await full.proc.match(/store: well again/, { from: 'err', after: at });
    },
  });
});
