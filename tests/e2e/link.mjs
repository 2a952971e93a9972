// A client that knows nothing but the protocol: no keys, no password function, no retries. For questions at an exact instant, many a second.
import { randomBytes } from 'node:crypto';
import tls from 'node:tls';

/** One link, in JSON; one account at most. */
export class Link {
  static async open(address) {
    const [host, port] = address.split(':');
    const l = new Link();
    l.socket = tls.connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ['peal-json/1'] });
    await new Promise((resolve, reject) => { l.socket.once('secureConnect', resolve).once('error', reject).once('close', reject); });
    l.got = Buffer.alloc(0);
    l.waiting = new Map();
    l.req = 0;
    l.socket.on('data', (d) => l.#take(d));
    l.socket.on('error', () => {});
    l.socket.on('close', () => {
      l.closed = true;
      for (const answer of l.waiting.values()) answer(undefined);
      l.waiting.clear();
    });
    l.say({ t: 'c_hello', version: 1, agent: 'link/1' });
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

  /** The answer to what carries this key; undefined when the link ends before. */
  ask(key, m) {
    return new Promise((resolve) => {
      if (this.closed) return resolve(undefined);
      this.waiting.set(key, resolve);
      return this.say(m);
    });
  }

  request(m) {
    const req = String(++this.req);
    return this.ask(req, { ...m, req });
  }

  register(name, auth = randomBytes(32)) {
    return this.request({
      t: 'c_register', req_id: randomBytes(16).toString('hex'), name, display: name, salt: randomBytes(16).toString('base64url'), ops: 2, mem_kib: 19456,
      auth: auth.toString('base64url'), bundle: randomBytes(300).toString('base64url'), wrapped: randomBytes(300).toString('base64url'),
      recovery: '', rescued: '',
    });
  }

  login(name, auth) {
    return this.request({ t: 'c_login', req_id: randomBytes(16).toString('hex'), name, auth: auth.toString('base64url') });
  }

  find(name) { return this.request({ t: 'c_find', name }); }
  put(name) {
    const id = randomBytes(16).toString('hex');
    return this.ask(id, { t: 'c_send', id, name, kind: 1, body: randomBytes(60).toString('base64url') });
  }

  lookup(name) { return this.request({ t: 'c_lookup', name }); }
}
