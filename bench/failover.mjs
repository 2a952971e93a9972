// How long a key is without service when its first server dies: one register operation after another (c_find, read by a quorum) and one
// put after another (c_send) for the same name, asked of another server, while the name's first server is killed, again and again.
//   node bench/failover.mjs [--servers 5] [--kills 50] [--how SIGKILL|SIGSTOP]      PEAL_BIN: the folder of the programs
// The time without service is the longest time between two answers from the kill on. Prints one JSON object.
import { randomBytes } from 'node:crypto';
import tls from 'node:tls';
import { setTimeout as pace } from 'node:timers/promises';
import { killAll } from '../tests/e2e/lib.mjs';
import { again, foundRing } from '../tests/e2e/chaos.mjs';

const PERIOD_MS = 2; // between an answer and the next question
const WATCHED_MS = 2000; // of service before the next kill, and before a killed server is started again

const now = () => Number(process.hrtime.bigint() / 1000n); // microseconds

/** A client that knows the protocol only: one link, one account. */
class Link {
  static async open(address) {
    const [host, port] = address.split(':');
    const l = new Link();
    l.socket = tls.connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ['peal-json/1'] });
    await new Promise((resolve, reject) => { l.socket.once('secureConnect', resolve).once('error', reject); });
    l.got = Buffer.alloc(0);
    l.waiting = new Map();
    l.req = 0;
    l.socket.on('data', (d) => l.#take(d));
    l.socket.on('error', () => {});
    l.say({ t: 'c_hello', version: 1, agent: 'failover/1' });
    return l;
  }

  #take(d) {
    this.got = Buffer.concat([this.got, d]);
    while (this.got.length >= 4 && this.got.length >= 4 + this.got.readUInt32BE(0)) {
      const n = 4 + this.got.readUInt32BE(0);
      this.#heard(JSON.parse(this.got.subarray(4, n)));
      this.got = this.got.subarray(n);
    }
  }

  #heard(m) {
    for (const key of m.ids ?? [m.req ?? m.id]) {
      this.waiting.get(key)?.(m);
      this.waiting.delete(key);
    }
  }

  say(m) {
    const text = Buffer.from(JSON.stringify(m));
    const head = Buffer.alloc(4);
    head.writeUInt32BE(text.length);
    this.socket.write(Buffer.concat([head, text]));
  }

  ask(key, m) {
    return new Promise((resolve) => {
      this.waiting.set(key, resolve);
      this.say(m);
    });
  }

  request(m) {
    const req = String(++this.req);
    return this.ask(req, { ...m, req });
  }

  register(name) {
    return this.request({
      t: 'c_register', req_id: randomBytes(16).toString('hex'), name, display: name, salt: randomBytes(16).toString('base64url'), ops: 2, mem_kib: 19456,
      auth: randomBytes(32).toString('base64url'), bundle: randomBytes(300).toString('base64url'), wrapped: randomBytes(300).toString('base64url'),
    });
  }

  find(name) { return this.request({ t: 'c_find', name }); }
  put(name) {
    const id = randomBytes(16).toString('hex');
    return this.ask(id, { t: 'c_send', id, name, kind: 1, body: randomBytes(60).toString('base64url') });
  }

  lookup(name) { return this.request({ t: 'c_lookup', name }); }
}

/** Asks one thing after the other until told to stop; when each good answer came, and what else was answered. */
function asking(ask, good) {
  const p = { answers: [now()], refused: {} };
  p.over = (async () => {
    while (!p.stop) {
      const a = await ask();
      if (a.t === good) p.answers.push(now());
      else p.refused[a.code] = (p.refused[a.code] ?? 0) + 1;
      await pace(PERIOD_MS);
    }
  })();
  return p;
}

const longestGap = (answers, from) => {
  let most = 0;
  for (let i = 1; i < answers.length; i++) if (answers[i] > from) most = Math.max(most, answers[i] - answers[i - 1]);
  return most;
};

/** A name whose first server is this one. */
async function nameOf(link, server) {
  for (let i = 0; ; i++) {
    const name = `failover-${server.index}-${i}`;
    const path = await link.lookup(name);
    if (path.owner === server.id) return name;
  }
}

/** Kills (or stops) the server, watches, and has it back: the longest gaps of each probe while it is gone, and until all is whole again. */
async function strike(ring, victim, how, probes) {
  const killed = now();
  if (how === 'SIGKILL') await victim.kill();
  else victim.proc.child.kill(how);
  await pace(WATCHED_MS);
  const gaps = probes.map((p) => longestGap(p.answers, killed));
  if (how === 'SIGKILL') await again(ring, victim);
  else victim.proc.child.kill('SIGCONT');
  await ring.whole();
  await pace(200);
  const back = probes.map((p) => longestGap(p.answers, killed));
  return { gaps, back };
}

const at = (sorted, share) => sorted[Math.floor(share * (sorted.length - 1))] / 1000;

function figures(values) {
  const v = [...values].sort((a, b) => a - b);
  return { p50: at(v, 0.5), p99: at(v, 0.99), worst: at(v, 1) };
}

async function main(args) {
  const given = { servers: 5, kills: 50, how: 'SIGKILL' };
  for (let i = 0; i + 1 < args.length; i += 2) {
    const key = args[i].slice(2);
    if (!(key in given) || !(key === 'how' ? /^SIG(KILL|STOP)$/ : /^\d+$/).test(args[i + 1])) throw new Error(`${args[i]} ${args[i + 1]}: no such option`);
    given[key] = key === 'how' ? args[i + 1] : Number(args[i + 1]);
  }
  const ring = await foundRing(given.servers);
  const found = [], put = [], foundBack = [], putBack = [];
  const refused = {};
  for (let i = 0; i < given.kills; i++) {
    const victim = ring.servers[i % given.servers];
    const asked = ring.servers[(i + 1 + (i % (given.servers - 1))) % given.servers];
    const link = await Link.open(asked.address);
    const session = await link.register(`asker-${i}`);
    if (session.t !== 'c_session') throw new Error(JSON.stringify(session));
    const name = await nameOf(link, victim);
    const other = await Link.open(asked.address);
    await other.register(name);
    other.socket.destroy();
    const probes = [asking(() => link.find(name), 'c_user'), asking(() => link.put(name), 'c_stored')];
    await pace(300);
    for (const p of probes) p.answers = p.answers.slice(-1);
    const { gaps, back } = await strike(ring, victim, given.how, probes);
    found.push(gaps[0]);
    put.push(gaps[1]);
    foundBack.push(back[0]);
    putBack.push(back[1]);
    for (const p of probes) {
      p.stop = true;
      for (const [code, n] of Object.entries(p.refused)) refused[code] = (refused[code] ?? 0) + n;
    }
    await Promise.all(probes.map((p) => p.over));
    link.socket.destroy();
  }
  await killAll();
  console.log(JSON.stringify({
    bench: 'failover', ...given, register_ms: figures(found), put_ms: figures(put), register_until_back_ms: figures(foundBack), put_until_back_ms: figures(putBack), refused,
  }));
}

await main(process.argv.slice(2));
process.exit(0);
