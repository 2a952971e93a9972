// How long keys are without service while a server joins, leaves in good order (SIGTERM) and comes back, and is taken out for good: register operations
// (c_find, read by a quorum) and puts (c_send) for many names, one after the other for each, asked of servers that stay, while so much lies in mailboxes that
// copying it takes seconds.
//   node bench/handover.mjs [--servers 4] [--rounds 5] [--names 24] [--waiting 12000] [--rate 512]      PEAL_BIN: the folder of the programs
// --waiting: messages of 1.4 KB in mailboxes; --rate: KiB a second for repair, of which copying gets eight times as much. For each kind of change, over all
// rounds: how long an operation took, and the longest time between two good answers for one name, of each round; in milliseconds. Prints one JSON object.
import { randomBytes } from 'node:crypto';
import { setTimeout as pace } from 'node:timers/promises';
import { eventually, folder, killAll, peal, Ring, Server } from '../tests/e2e/lib.mjs';
import { Link } from '../tests/e2e/link.mjs';

const PERIOD_MS = 20; // between an answer and the next question for the same name
const CALM_MS = 1000; // of service before and after each change
const AWAY_MS = 1000;
const BODY = 1400;
const FILLERS = 16; // mailboxes filled at a time
const ASKED = 2; // the servers that are asked, and stay

const now = () => Number(process.hrtime.bigint() / 1000n); // microseconds

/** Asks one thing after the other until told to stop; notes when it asked, when it was answered, and whether well. */
function asking(ask, good) {
  const p = { log: [] };
  p.over = (async () => {
    while (!p.stop) {
      const asked = now();
      const a = await ask();
      p.log.push({ asked, answered: now(), code: a?.t === good ? undefined : (a?.code ?? 'closed') });
      await pace(PERIOD_MS);
    }
  })();
  return p;
}

const at = (sorted, share) => sorted[Math.floor(share * (sorted.length - 1))] / 1000;

function spread(values) {
  const v = [...values].sort((a, b) => a - b);
  return { n: v.length, p50: at(v, 0.5), p99: at(v, 0.99), max: at(v, 1) };
}

/** What the probes say of the time from `from` to `to`. */
function measured(probes, from, to) {
  const took = [], gaps = [], refused = {};
  for (const p of probes) {
    let last;
    for (const o of p.log) {
      if (o.answered < from || o.asked > to) continue;
      took.push(o.answered - o.asked);
      if (o.code !== undefined) refused[o.code] = (refused[o.code] ?? 0) + 1;
      else {
        if (last !== undefined) gaps.push(o.answered - last);
        last = o.answered;
      }
    }
    gaps.push(to - (last ?? from));
  }
  return { took, gap: gaps.reduce((a, b) => Math.max(a, b), 0), refused };
}

async function fill(address, names, waiting) {
  await Promise.all([...Array(FILLERS)].map(async (_, k) => {
    const link = await Link.open(address);
    const session = await link.register(`filler-${k}`);
    if (session.t !== 'c_session') throw new Error(JSON.stringify(session));
    for (let i = k; i < waiting; i += FILLERS) {
      const id = randomBytes(16).toString('hex');
      const a = await link.ask(id, { t: 'c_send', id, name: names[i % names.length], kind: 1, body: randomBytes(BODY).toString('base64url') });
      if (a?.t !== 'c_stored') throw new Error(JSON.stringify(a));
    }
    link.socket.destroy();
  }));
}

class Rig {
  constructor(given) {
    Object.assign(this, given);
    this.ring = new Ring(0);
    this.made = 1;
    this.probes = { register: [], put: [] };
    this.kinds = {};
  }

  fresh() {
    const { key, group } = this.ring;
    const server = new Server({ index: ++this.made, key, group, replicas: 2, extra: ['--repair-rate', String(this.rate)] });
    this.ring.servers.push(server);
    return server;
  }

  async begin() {
    for (let i = 0; i < this.servers; i++) this.fresh();
    await Promise.all(this.ring.servers.map((s) => s.start()));
    for (const s of this.ring.servers) s.listen = s.address;
    await this.ring.whole();
    const names = [...Array(this.names)].map((_, i) => `kept-${i}`);
    for (const name of names) {
      const link = await Link.open(this.ring.servers[0].address);
      const session = await link.register(name);
      if (session.t !== 'c_session') throw new Error(JSON.stringify(session));
      link.socket.destroy();
    }
    await fill(this.ring.servers[0].address, names, this.waiting);
    for (const [i, name] of names.entries()) {
      const link = await Link.open(this.ring.servers[i % ASKED].address);
      const session = await link.register(`asker-${i}`);
      if (session.t !== 'c_session') throw new Error(JSON.stringify(session));
      link.socket.on('close', () => { this.lost = true; });
      this.probes.register.push(asking(() => link.find(name), 'c_user'));
      this.probes.put.push(asking(() => link.put(name), 'c_stored'));
    }
  }

  /** Watches while the ring is changed, until all is copied, and for a while before and after. */
  async change(kind, act) {
    const from = now();
    await pace(CALM_MS);
    const began = now();
    await act();
    await this.ring.whole();
    const k = this.kinds[kind] ??= { copied: [], register: { took: [], gaps: [] }, put: { took: [], gaps: [] }, refused: {} };
    k.copied.push(now() - began);
    await pace(CALM_MS);
    const to = now();
    for (const [what, probes] of Object.entries(this.probes)) {
      const m = measured(probes, from, to);
      k[what].took.push(...m.took);
      k[what].gaps.push(m.gap);
      for (const [code, n] of Object.entries(m.refused)) k.refused[code] = (k.refused[code] ?? 0) + n;
      for (const p of probes) p.log = p.log.slice(-1);
    }
  }

  /** Of those that nobody asks. */
  some(i) { return this.ring.servers[ASKED + (i % (this.ring.servers.length - ASKED))]; }

  async round(i) {
    await this.change('calm', () => pace(AWAY_MS));
    await this.change('join', async () => {
      const server = await this.fresh().start();
      server.listen = server.address;
    });
    await this.change('leave', async () => {
      const server = this.some(i);
      if (await server.stop() !== 0) throw new Error('it did not leave in good order');
      await pace(AWAY_MS);
      await server.start();
    });
    await this.change('removal', async () => {
      const server = this.some(i);
      await server.stop();
      this.ring.servers.splice(this.ring.servers.indexOf(server), 1);
      const [asked] = this.ring.servers;
      await eventually(async () => {
        const r = await peal(folder('operator'), '--server', asked.address, 'ring', 'remove', server.id, '--ring-key-file', this.ring.key);
        return r.code === 0;
      }, `${server.id} is removed`);
    });
  }

  async end() {
    for (const p of Object.values(this.probes).flat()) p.stop = true;
    await Promise.all(Object.values(this.probes).flat().map((p) => p.over));
    if (this.lost) throw new Error('a server that was to stay has gone');
    await this.ring.stop();
  }
}

async function main(args) {
  const given = { servers: 4, rounds: 5, names: 24, waiting: 12000, rate: 512 };
  for (let i = 0; i + 1 < args.length; i += 2) {
    const key = args[i].slice(2);
    if (!(key in given) || !/^\d+$/.test(args[i + 1])) throw new Error(`${args[i]} ${args[i + 1]}: no such option`);
    given[key] = Number(args[i + 1]);
  }
  const rig = new Rig(given);
  try {
    await rig.begin();
    for (let i = 0; i < given.rounds; i++) await rig.round(i);
    await rig.end();
  } finally {
    await killAll();
  }
  const changes = {};
  for (const [kind, k] of Object.entries(rig.kinds)) {
    const of = (what) => ({ took_ms: spread(what.took), longest_gap_ms: spread(what.gaps) });
    changes[kind] = { until_copied_ms: spread(k.copied), register: of(k.register), put: of(k.put), refused: k.refused };
  }
  console.log(JSON.stringify({ bench: 'handover', ...given, ...changes }));
}

await main(process.argv.slice(2));
process.exit(0);
