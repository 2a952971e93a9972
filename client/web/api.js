// The way to the Peal client on this machine: commands as POST, pushes as server-sent events. The token that both carry is new with
// each run of the client; when the client was started anew, the page fetches the new one and goes on.

const meta = document.querySelector('meta[name="peal-token"]');
let token = meta ? meta.content : '';

export class ApiError extends Error {
  constructor(status, code, message, hint) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint || '';
  }
}

const unreachable = () =>
  new ApiError(0, 'unreachable', 'Peal is not running on this machine.', 'Start it again; this page reconnects by itself.');

async function refreshToken() {
  const reply = await fetch('/', { cache: 'no-store' });
  const page = new DOMParser().parseFromString(await reply.text(), 'text/html');
  const found = page.querySelector('meta[name="peal-token"]');
  if (!reply.ok || !found || found.content === token) return false;
  token = found.content;
  return true;
}

async function post(name, body) {
  let reply;
  try {
    reply = await fetch(`/api/${name}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Peal-Token': token },
      body: JSON.stringify(body),
    });
  } catch {
    throw unreachable();
  }
  let data = null;
  try {
    data = await reply.json();
  } catch {
    data = null;
  }
  if (reply.ok && data !== null) return data;
  const e = (data && data.error) || {};
  throw new ApiError(reply.status, e.code || 'bad_reply', e.message || `The client answered ${reply.status}.`, e.hint);
}

export async function call(name, body = {}) {
  try {
    return await post(name, body);
  } catch (e) {
    if (e.code !== 'bad_token') throw e;
    try {
      if (!(await refreshToken())) throw e;
    } catch {
      throw e;
    }
    return post(name, body);
  }
}

const EVENTS = ['message', 'changed', 'forgotten', 'imported', 'state', 'presence', 'connection', 'session'];
const RETRY_MS = 1500;

// Keeps a stream open for as long as the page lives. on.open is called each time it opens, on.lost when it breaks, and
// on[event](data) for each event.
export function listen(on) {
  const source = new EventSource(`/api/events?token=${encodeURIComponent(token)}`);
  source.onopen = () => on.open();
  source.onerror = () => {
    on.lost();
    // A stream that was refused is not tried again by the browser: the client has a new token.
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(async () => {
      try {
        await refreshToken();
      } catch {
        // not there yet: the next attempt follows
      }
      listen(on);
    }, RETRY_MS);
  };
  for (const event of EVENTS) {
    source.addEventListener(event, (e) => on[event](JSON.parse(e.data)));
  }
}
