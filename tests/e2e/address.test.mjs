// Servers that are told how many to expect found one ring, and get other addresses while people write to each other: real processes
// in network namespaces of their own, joined by a bridge. Takes root and ip(8); skipped otherwise.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join } from 'node:path';
import { bin, eventually, folder, killAll, Proc, ringKeyFile } from './lib.mjs';
import { bridged, ip, Machine, namespace, removeAll, skip } from './netns.mjs';

const HEALED = 20_000; // how long the ring may take to be whole again, in milliseconds; what it took is printed
const PORT = 7400;

class Server {
  constructor(index, machine, key, address) {
    Object.assign(this, { index, machine, key, address, data: folder(`moving${index}`) });
    machine.add(address);
  }

  async start({ listen = '0.0.0.0' } = {}) {
    this.proc = this.machine.run(`server ${this.index}`, 'peald', '--data', this.data, '--listen', `${listen}:${PORT}`,
      '--ring-key-file', this.key, '--multicast', '239.80.69.76:7600,[ff02::5065:616c]:7600', '--bcrypt-cost', '4', '--bootstrap-expect', '3');
    const [, id, at] = await this.proc.match(/^ready id=([0-9a-f]{40}) listen=(\S+)$/m);
    this.id = id;
    assert.equal(at, `${this.address}:${PORT}`, 'it announces this machine\'s address');
    return this;
  }

  get place() { return `${this.address}:${PORT}`; }
}

/** A person on the machine of the clients. */
class Person {
  constructor(name, servers) {
    this.name = name;
    this.flags = ['--profile', folder(`client-${name}`), ...servers.flatMap((s) => ['--server', s.place]), '--json'];
  }

  spawn(...args) { return clients.run(`${this.name}: ${args[0]}`, 'peal', ...this.flags, ...args); }
  async run(...args) {
    const p = this.spawn(...args);
    const code = await p.ended;
    return { code, out: p.out + p.err };
  }

  async enter() {
    const r = await this.run('register', this.name, '--password-file', '-', { input: `the password of ${this.name}\n` });
    assert.equal(r.code, 0, r.out);
    this.follow = this.spawn('recv', '--follow');
  }

  got() { return this.follow.lines().map((l) => JSON.parse(l).text); }
}

async function status(server) {
  const p = clients.run('status', 'peal', '--profile', folder('status'), '--server', server.place, '--json', 'ring', 'status');
  return await p.ended === 0 ? JSON.parse(p.lines()[0]) : undefined;
}

/** Waits until each of the servers that run sees all of them up, whole, and at their addresses. */
async function whole(up) {
  const end = Date.now() + HEALED;
  for (const s of up) {
    let last;
    do {
      last = await status(s);
      assert.ok(Date.now() < end, `not whole in time as ${s.index} sees it: ${JSON.stringify(last)}\n${up.map((x) => x.proc.err).join('\n--\n')}`);
    } while (!last || !last.whole || !up.every((x) => last.nodes.some((n) => n.id === x.id && n.state === 'up' && n.address === x.place))
      || last.nodes.filter((n) => n.state === 'up').length !== up.length);
    s.seen = new Map(last.nodes.map((n) => [n.id, n]));
  }
}

let bridge, clients, servers, key, alice, bob;
const sent = [];

before(async () => {
  if (skip) return;
  bridge = bridged('br', 'br0');
  clients = new Machine('c', bridge);
  clients.add('10.77.0.100');
  key = ringKeyFile();
  servers = [1, 2, 3].map((i) => new Server(i, new Machine(`s${i}`, bridge), key, `10.77.0.${i}`));
  const first = servers[0].start();
  await servers[0].proc.match(/waiting: 1 of the 3 servers that are to found the ring are here/, { from: 'err' });
  await Promise.all([first, ...servers.slice(1).map((s) => s.start())]);
  await whole(servers);
  alice = new Person('alice', servers);
  bob = new Person('bob', servers);
  await alice.enter();
  await bob.enter();
});

after(async () => {
  if (skip) return;
  await killAll();
  removeAll();
});

/** Lets alice write to bob until what is under way is done; every message must be taken. */
async function whileWriting(work) {
  let done = false;
  const writing = (async () => {
    const from = sent.length;
    while (!done || sent.length - from < 3) {
      const text = `message ${sent.length}`;
      const r = await alice.run('send', 'bob', text);
      assert.ok(r.code === 0 || r.code === 3, r.out); // 3: kept, and sent later
      sent.push(text);
    }
  })();
  try { await work(); } finally { done = true; }
  await writing;
}

async function allArrive() {
  await bob.follow.until(() => bob.got().length >= sent.length, `${sent.length} messages`);
  assert.deepEqual(bob.got(), sent, 'each once, in order');
}

test('servers that expect three found one ring, once the third is there', { skip }, () => {
  assert.equal(servers.filter((s) => /founded: /.test(s.proc.err)).length, 1, servers.map((s) => s.proc.err).join('\n--\n'));
  for (const s of servers) assert.doesNotMatch(s.proc.err, /dissolved: /);
});

test('a server gets another address, also under another interface: whole again, the same, nothing lost', { skip }, async (t) => {
  const moved = servers[2];
  const ways = {
    'the old one goes, the new one comes': (to) => { moved.machine.del(moved.address); moved.machine.add(to); },
    'the new one comes, then the old one goes': (to) => { moved.machine.add(to); moved.machine.del(moved.address); },
    'another interface': (to) => { moved.machine.unplug(); moved.machine.plug('wlan7'); moved.machine.add(to); },
  };
  await whileWriting(async () => {
    let n = 10;
    for (const [way, move] of Object.entries(ways)) {
      const before = servers[0].seen.get(moved.id).incarnation;
      const to = `10.77.0.${n++}`;
      const began = Date.now();
      move(to);
      moved.address = to;
      await whole(servers);
      t.diagnostic(`${way}: whole again after ${Date.now() - began} ms`);
      for (const s of servers) assert.ok(s.seen.get(moved.id).incarnation > before, `${s.index} knows of a higher incarnation`);
      assert.equal(servers[0].seen.size, 3, 'still three servers');
    }
  });
  await allArrive();
});

test('two servers swap their addresses: each stays who it is', { skip }, async (t) => {
  const [one, two] = servers;
  await whileWriting(async () => {
    const began = Date.now();
    one.machine.del(one.address);
    two.machine.del(two.address);
    [one.address, two.address] = [two.address, one.address];
    one.machine.add(one.address);
    two.machine.add(two.address);
    await whole(servers);
    t.diagnostic(`whole again after ${Date.now() - began} ms`);
  });
  assert.equal(servers[2].seen.get(one.id).address, one.place);
  assert.equal(servers[2].seen.get(two.id).address, two.place);
  await allArrive();
});

test('another server gets the address of a stopped one: it is another server, and nothing meant for the old one becomes its', { skip }, async (t) => {
  const [one, two, old] = servers;
  const address = old.address;
  await old.proc.signal('SIGKILL');
  old.machine.del(address);
  const fresh = new Server(4, new Machine('s4', bridge), key, address);
  await whileWriting(async () => {
    await fresh.start();
    const up = [one, two, fresh];
    await whole(up);
    const expected = new RegExp(`stranger: ${fresh.id.slice(0, 8)} answers at ${address.replaceAll('.', '\\.')}:${PORT}, where ${old.id.slice(0, 8)} was expected`);
    await Promise.race([one, two].map((s) => s.proc.match(expected, { from: 'err' })));
    for (const s of up) assert.equal(s.seen.get(old.id).state, 'down', `${s.index} does not take it for the old one`);
    assert.notEqual(fresh.id, old.id);
    old.address = '10.77.0.33';
    old.machine.add(old.address);
    const { id } = old;
    const began = Date.now();
    await old.start();
    assert.equal(old.id, id, 'the same server');
    await whole([...up, old]);
    t.diagnostic(`the old one is back elsewhere, whole after ${Date.now() - began} ms`);
  });
  servers.push(fresh);
  await allArrive();
  for (const s of servers) assert.doesNotMatch(s.proc.err, /a message for another node/, 'nobody was sent what was meant for another');
});

test('a server that listens on one address says when that is gone, and serves again when it is back', { skip }, async () => {
  const fixed = new Server(5, new Machine('s5', bridge), key, '10.77.0.55');
  await fixed.start({ listen: fixed.address });
  await whole([...servers, fixed]);
  fixed.machine.del(fixed.address);
  await fixed.proc.match(/this machine no longer has 10\.77\.0\.55:7400, which this server listens on/, { from: 'err' });
  await whole(servers);
  assert.equal(servers[0].seen.get(fixed.id).state, 'down');
  fixed.machine.add(fixed.address);
  await fixed.proc.match(/10\.77\.0\.55:7400 is this machine's again/, { from: 'err' });
  await whole([...servers, fixed]);
  await eventually(() => status(fixed), 'it answers clients at its address');
  assert.equal(await fixed.proc.signal('SIGTERM'), 0);
});

// ---- servers on several networks, of which no two servers share all

/** A machine with one interface on each of some networks, named 1 to 3; 2 is of IPv6 alone. */
class Crossing {
  constructor(host, nets) {
    Object.assign(this, { host, ns: namespace(`x${host}`), devs: new Map() });
    for (const net of nets) this.plug(net);
  }

  ip(net) { return net === 2 ? `fd77:2::${this.host}` : `10.78.${net}.${this.host}`; }
  at(net) { return net === 2 ? `[${this.ip(2)}]:${PORT}` : `${this.ip(net)}:${PORT}`; }

  plug(net) {
    const dev = `net${net}`;
    const port = `x${this.host}n${net}`;
    ip('link', 'add', dev, 'netns', this.ns, 'type', 'veth', 'peer', 'name', port, 'netns', bridge);
    ip('-n', bridge, 'link', 'set', port, 'master', `br${net}`, 'up');
    ip('-n', this.ns, 'link', 'set', dev, 'up');
    if (net === 2) ip('-n', this.ns, 'addr', 'add', `${this.ip(2)}/64`, 'dev', dev, 'nodad');
    else ip('-n', this.ns, 'addr', 'add', `${this.ip(net)}/24`, 'dev', dev);
  }

  unplug(net) { ip('-n', this.ns, 'link', 'del', `net${net}`); }

  spawn(name, file, args, input) {
    return new Proc('ip', ['netns', 'exec', this.ns, join(bin, file), ...args], { name, input, env: { PEAL_MULTICAST: 'off' } });
  }

  async serve(ringKey) {
    this.proc = this.spawn(`crossing ${this.host}`, 'peald', ['--data', folder(`crossing${this.host}`), '--listen', `[::]:${PORT}`,
      '--ring-key-file', ringKey, '--multicast', '239.80.69.76:7600,[ff02::5065:616c]:7600', '--bcrypt-cost', '4', '--bootstrap-expect', '3']);
    [, this.id] = await this.proc.match(/^ready id=([0-9a-f]{40}) listen=(\S+)$/m);
  }

  /** The ring as this machine's own server sees it. */
  async ring() {
    const p = this.spawn('status', 'peal', ['--profile', folder('status'), '--server', `127.0.0.1:${PORT}`, '--json', 'ring', 'status']);
    return await p.ended === 0 ? JSON.parse(p.lines()[0]) : undefined;
  }
}

/** A person on a server's machine, who knows no other server. */
class Local extends Person {
  constructor(name, machine) {
    super(name, []);
    this.machine = machine;
    this.flags = ['--profile', folder(`client-${name}`), '--server', `127.0.0.1:${PORT}`, '--json'];
  }

  spawn(...args) {
    const input = typeof args.at(-1) === 'object' ? args.pop().input : undefined;
    return this.machine.spawn(`${this.name}: ${args[0]}`, 'peal', [...this.flags, ...args], input);
  }
}

/** Waits until each sees all of them up and whole, and the others where `seen` says. */
async function crossed(machines, seen) {
  const end = Date.now() + HEALED;
  for (const m of machines) {
    let last;
    do {
      last = await m.ring();
      assert.ok(Date.now() < end, `not whole in time as ${m.host} sees it: ${JSON.stringify(last)}\n${machines.map((x) => x.proc.err).join('\n--\n')}`);
    } while (!last || !last.whole || !machines.every((x) => last.nodes.some((n) => n.id === x.id && n.state === 'up'
      && (x === m || n.address === seen(m, x)))));
  }
}

async function passes(from, to, text) {
  const r = await from.run('send', to.name, text);
  assert.ok(r.code === 0 || r.code === 3, r.out);
  await to.follow.until(() => to.got().includes(text), `“${text}” from ${from.name} to ${to.name}`);
}

test('servers each two of which share one network: a whole ring, and messages pass', { skip }, async (t) => {
  for (const net of [1, 2, 3]) {
    ip('-n', bridge, 'link', 'add', `br${net}`, 'type', 'bridge', 'mcast_snooping', '0');
    ip('-n', bridge, 'link', 'set', `br${net}`, 'up');
  }
  const a = new Crossing(1, [1, 3]), b = new Crossing(2, [2, 3]), c = new Crossing(3, [1, 2]);
  const all = [a, b, c];
  const ringKey = ringKeyFile();
  await Promise.all(all.map((m) => m.serve(ringKey)));
  const shared = (x, y) => (x === c || y === c ? (x === a || y === a ? 1 : 2) : 3);
  await crossed(all, (m, x) => x.at(shared(m, x)));
  for (const m of all) assert.doesNotMatch(m.proc.err, /merge|dissolved: /, 'one ring from the first');
  const people = all.map((m, i) => new Local(['anna', 'ben', 'cleo'][i], m));
  for (const p of people) await p.enter();
  for (const from of people)
    for (const to of people) if (from !== to) await passes(from, to, `${from.name} to ${to.name}`);

  // a third network for A; then C's interface goes that A came by: A comes back by the other
  const before = (await a.ring()).nodes.find((n) => n.id === c.id).incarnation;
  a.plug(2);
  await a.proc.match(/this node is also at \[fd77:2::1\]:7400/, { from: 'err' });
  let began = Date.now();
  c.unplug(1);
  await crossed(all, (m, x) => (m === c || x === c ? x.at(2) : x.at(3)));
  t.diagnostic(`whole again over the other network after ${Date.now() - began} ms`);
  assert.ok((await a.ring()).nodes.find((n) => n.id === c.id).incarnation > before, 'C has told of its new set of addresses');
  for (const from of people)
    for (const to of people) if (from !== to) await passes(from, to, `again: ${from.name} to ${to.name}`);

  // C is on both again, and A's cable to the network that it uses breaks without a word: the addresses stay, nothing comes through
  c.plug(1);
  await c.proc.match(/this node is at 10\.78\.1\.3:7400/, { from: 'err' });
  began = Date.now();
  ip('-n', bridge, 'link', 'set', 'x1n2', 'nomaster');
  await crossed(all, (m, x) => x.at(shared(m, x)));
  t.diagnostic(`whole again past a network that swallows everything after ${Date.now() - began} ms`);
  for (const from of people)
    for (const to of people) if (from !== to) await passes(from, to, `at last: ${from.name} to ${to.name}`);
});
