// How long a key is without service when its first server dies: one register operation after another (c_find, read by a quorum) and one
// put after another (c_send) for the same name, asked of another server, while the name's first server is killed, again and again.
//   node bench/failover.mjs [--servers 5] [--kills 50] [--how SIGKILL|SIGSTOP]      PEAL_BIN: the folder of the programs
// The time without service is the longest time between two answers from the kill on. Prints one JSON object.
import { setTimeout as pace } from 'node:timers/promises';
import { killAll } from '../tests/e2e/lib.mjs';
import { again, foundRing } from '../tests/e2e/chaos.mjs';
import { Link } from '../tests/e2e/link.mjs';

const PERIOD_MS = 2; // between an answer and the next question
const WATCHED_MS = 2000; // of service before the next kill, and before a killed server is started again

const now = () => Number(process.hrtime.bigint() / 1000n); // microseconds

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
