// Machines of their own for tests: network namespaces, joined by bridges. Takes root and ip(8).
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { bin, Proc } from './lib.mjs';

const tag = `peal${process.pid}`;
const made = [];

/** ip(8); throws with what it said. */
export function ip(...args) {
  return execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
}

/** A network namespace of this process's own, with its loopback. */
export function namespace(name) {
  ip('netns', 'add', `${tag}${name}`);
  made.push(`${tag}${name}`);
  ip('-n', `${tag}${name}`, 'link', 'set', 'lo', 'up');
  return `${tag}${name}`;
}

/** For `after`; also done when the process ends. */
export function removeAll() {
  for (const ns of made.splice(0)) {
    try { ip('netns', 'del', ns); } catch (e) { console.error(String(e)); }
  }
}

function possible() {
  if (process.getuid() !== 0) return 'network namespaces take root';
  try {
    namespace('try');
    ip('-n', `${tag}try`, 'link', 'add', 'br0', 'type', 'bridge');
    ip('-n', `${tag}try`, 'link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'two');
    return undefined;
  } catch (e) {
    return `no network namespaces with bridge and veth here: ${String(e.stderr ?? e).trim()}`;
  } finally { removeAll(); }
}

/** Why there can be none here; undefined when there can. */
export const skip = possible();
process.on('exit', removeAll);

/** A namespace of this name with these bridges, for machines to be plugged into. */
export function bridged(name, ...bridges) {
  const ns = namespace(name);
  for (const b of bridges) {
    ip('-n', ns, 'link', 'add', b, 'type', 'bridge', 'mcast_snooping', '0');
    ip('-n', ns, 'link', 'set', b, 'up');
  }
  return ns;
}

/** A machine: a namespace with one interface on a bridge at a time; on br0 at first. */
export class Machine {
  constructor(name, bridge) {
    this.bridge = bridge;
    this.ns = namespace(name);
    this.ports = 0;
    // a second address of the network outlives the first, as systemd sets it up
    execFileSync('ip', ['netns', 'exec', this.ns, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/all/promote_secondaries']);
    this.plug('eth0');
  }

  plug(dev) {
    const port = `${this.ns.slice(tag.length)}${this.ports++}`;
    ip('link', 'add', dev, 'netns', this.ns, 'type', 'veth', 'peer', 'name', port, 'netns', this.bridge);
    ip('-n', this.bridge, 'link', 'set', port, 'master', 'br0', 'up');
    // Whoever takes an address over announces it (RFC 5227); ip(8) does not, so that its first request has to be believed, though
    // another machine had the address less than a second ago.
    ip('-n', this.ns, 'ntable', 'change', 'name', 'arp_cache', 'dev', dev, 'locktime', '0');
    ip('-n', this.ns, 'link', 'set', dev, 'up');
    this.dev = dev;
    this.port = port;
  }

  /** The cable goes into another bridge; nothing on the machine notices. */
  move(to) { ip('-n', this.bridge, 'link', 'set', this.port, 'master', to); }

  unplug() { ip('-n', this.ns, 'link', 'del', this.dev); }
  add(address) { ip('-n', this.ns, 'addr', 'add', `${address}/24`, 'dev', this.dev); }
  del(address) { ip('-n', this.ns, 'addr', 'del', `${address}/24`, 'dev', this.dev); }
  run(name, file, ...args) {
    const input = typeof args.at(-1) === 'object' ? args.pop().input : undefined;
    return new Proc('ip', ['netns', 'exec', this.ns, join(bin, file), ...args], { name, input, env: { PEAL_MULTICAST: 'off' } });
  }
}
