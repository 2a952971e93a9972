// The page of the client against a stand-in for it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FakeProgram, Refusal, bundle, launch, open, overflow, picture, unnamed } from './lib.mjs';

let browser;
let files;
before(async () => {
  files = await bundle('client/web');
  browser = await launch();
});
after(() => browser.close());

const RECOVERY = '0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV-WXYZ';
const NOW = Date.now();
const MINUTE = 60 * 1000;
const DAY = 24 * 60 * MINUTE;

// One client with what it knows; its commands do what the real ones are specified to do.
class FakeClient extends FakeProgram {
  constructor({ me = null } = {}) {
    super({ files, onSubscribe: (send) => send('connection', this.link) });
    this.me = me;
    this.link = { connected: true, server: '127.0.0.1:7401', reason: '' };
    this.people = { bob: { name: 'bob', online: true, last_seen: 0 } };
    this.chats = {};
    this.sent = 0;
    const whoami = () => ({
      name: this.me, display: this.me, server: this.link.server, connected: this.link.connected,
      fingerprint: 'ab12cd34'.repeat(8),
    });
    this.commands = {
      whoami,
      register: ({ name }) => {
        if (name === 'taken') throw new Refusal(409, 'exists', 'The name is taken.', 'Choose another one.');
        this.me = name;
        return { ...whoami(), recovery: RECOVERY };
      },
      login: ({ name, password }) => {
        if (password !== 'right') throw new Refusal(403, 'auth', 'The name or the password is wrong.', 'Check both.');
        this.me = name;
        return whoami();
      },
      logout: () => {
        this.me = null;
        return {};
      },
      status: ({ name }) => {
        if (!this.people[name]) throw new Refusal(404, 'not_found', `There is nobody called ${name}.`, 'Check the spelling.');
        return this.people[name];
      },
      conversations: () => ({
        conversations: Object.entries(this.chats).map(([name, all]) => ({
          ...this.people[name], unread: all.filter((m) => m.unread).length, last: all.at(-1) ?? null,
        })),
      }),
      history: ({ name, limit, before: id }) => {
        const all = this.chats[name] ?? [];
        const end = id ? all.findIndex((m) => m.id === id) : all.length;
        return { messages: all.slice(Math.max(0, end - limit), end), more: end > limit };
      },
      send: ({ to, text }) => {
        if (text === 'no space') throw new Refusal(503, 'no_space', 'The disk is full.', 'Free some space and send it again.');
        this.sent += 1;
        const m = this.add(to, { from: this.me, text, state: 'queued' });
        return { id: m.id, to, state: m.state };
      },
      read: ({ name }) => {
        for (const m of this.chats[name] ?? []) m.unread = false;
        return {};
      },
      watch: () => ({}),
    };
  }

  add(peer, { from, text, state = 'delivered', sent_at = Date.now(), unread = false }) {
    this.chats[peer] ??= [];
    const id = `${peer}-${this.chats[peer].length}`;
    const m = { id, from, to: from === peer ? this.me : peer, text, sent_at, state, unread };
    this.chats[peer].push(m);
    return m;
  }

  // What a message from outside does: stored, then pushed.
  receive(peer, text) {
    const m = this.add(peer, { from: peer, text, unread: true });
    this.push('message', m);
    return m;
  }

  setState(peer, id, state) {
    this.chats[peer].find((m) => m.id === id).state = state;
    this.push('state', { id, peer, state });
  }
}

async function with_client(options, story) {
  const client = await new FakeClient(options).start();
  options.prepare?.(client);
  const page = await open(browser, client.url + (options.hash ?? ''), options.context);
  try {
    await story(page, client);
    assert.deepEqual(page.problems, [], 'the page threw nothing and broke no policy');
  } finally {
    await page.context().close();
    await client.stop();
  }
}

const id = (page, name) => page.getByTestId(name);
const has = (page, locator, text) => locator.filter({ hasText: text }).first().waitFor();
/** The title is set after what the page shows. */
const titled = (page, title) => page.waitForFunction((t) => document.title === t, title);

test('registering, with a refusal first, then logging out', () =>
  with_client({}, async (page, client) => {
    await id(page, 'register-tab').click();
    await picture(page, 'client-register');
    await id(page, 'name').fill('taken');
    await id(page, 'password').fill('secret');
    await id(page, 'submit').click();
    await has(page, id(page, 'error'), 'The name is taken. Choose another one.');
    assert.equal(await id(page, 'error').getAttribute('data-code'), 'exists');
    await id(page, 'name').fill('  alice ');
    await page.keyboard.press('Enter');
    await has(page, id(page, 'me'), 'alice');
    assert.deepEqual(await client.called('register', 2), { name: 'alice', password: 'secret' });
    await has(page, id(page, 'connection'), 'Connected to 127.0.0.1:7401');
    await has(page, id(page, 'recovery-key'), RECOVERY);
    await picture(page, 'client-recovery');
    await id(page, 'recovery-done').click();
    await id(page, 'recovery').waitFor({ state: 'detached' });
    await id(page, 'logout').click();
    await id(page, 'login-tab').waitFor();
    assert.equal(client.me, null);
    assert.equal(await id(page, 'password').inputValue(), '', 'the password is not kept');
  }));

test('signing in with a wrong password, then the right one, by keyboard alone', () =>
  with_client({}, async (page) => {
    await id(page, 'register-tab').waitFor();
    await id(page, 'login-tab').focus();
    await page.keyboard.press('ArrowRight');
    assert.equal(await id(page, 'register-tab').getAttribute('aria-selected'), 'true');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Tab');
    await page.keyboard.type('alice');
    await page.keyboard.press('Tab');
    await page.keyboard.type('wrong');
    await page.keyboard.press('Enter');
    await has(page, id(page, 'error'), 'The name or the password is wrong.');
    await id(page, 'password').fill('right');
    await page.keyboard.press('Enter');
    await has(page, id(page, 'me'), 'alice');
  }));

test('finding a person, writing, and each state as it is reported', () =>
  with_client({ me: 'alice' }, async (page, client) => {
    await id(page, 'find').fill('nobody');
    await id(page, 'find-submit').click();
    await has(page, id(page, 'error'), 'There is nobody called nobody. Check the spelling.');
    await id(page, 'find').fill('bob');
    await page.keyboard.press('Enter');
    await has(page, id(page, 'presence'), 'Online');
    await has(page, id(page, 'person'), 'bob');
    assert.deepEqual(await client.called('watch', 2), { name: 'bob' });

    await id(page, 'composer').fill('first line');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('second line');
    await page.keyboard.press('Enter');
    const message = id(page, 'message');
    await has(page, id(page, 'message-text'), 'second line');
    assert.equal(await id(page, 'message-text').textContent(), 'first line\nsecond line');
    assert.equal(await id(page, 'composer').inputValue(), '');
    for (const state of ['queued', 'stored', 'delivered', 'read', 'expired', 'failed']) {
      client.setState('bob', 'bob-0', state);
      await page.locator(`[data-testid=message][data-id=bob-0][data-state=${state}]`).waitFor();
      assert.equal((await id(page, 'message-state').textContent()).toLowerCase(), state);
      assert.notEqual(await id(page, 'message-state').getAttribute('title'), '');
    }
    assert.equal(await message.count(), 1);
    client.push('state', { id: 'bob-0', peer: 'bob', state: 'queued', reason: 'the mailbox of bob is full' });
    await has(page, id(page, 'message-reason'), ': the mailbox of bob is full');
    assert.match(await id(page, 'message-state').getAttribute('title'), /tried again/);
    client.setState('bob', 'bob-0', 'stored');
    await id(page, 'message-reason').waitFor({ state: 'detached' });

    await id(page, 'composer').fill('no space');
    await id(page, 'send').click();
    await has(page, id(page, 'error'), 'The disk is full. Free some space and send it again.');
    assert.equal(await id(page, 'composer').inputValue(), 'no space', 'what was not taken stays with the writer');
    assert.equal(client.sent, 1);

    client.push('presence', { name: 'bob', online: false, last_seen: Date.now() - 5 * MINUTE });
    await has(page, id(page, 'presence'), 'Last seen 5 min ago');
  }));

test('a state that overtakes the reply to sending is not lost', () =>
  with_client({ me: 'alice', hash: '#bob' }, async (page, client) => {
    await has(page, id(page, 'presence'), 'Online');
    const send = client.commands.send;
    client.commands.send = async (body) => {
      const reply = await send(body);
      client.push('state', { id: reply.id, peer: 'bob', state: 'delivered' });
      // the reply follows only when the page has surely taken the event in
      const later = client.receive('bob', 'meanwhile');
      await page.locator(`[data-id="${later.id}"]`).waitFor();
      return reply;
    };
    await id(page, 'composer').fill('quick');
    await page.keyboard.press('Enter');
    await page.locator('[data-testid=message][data-from=alice][data-state=delivered]').waitFor();
  }));

test('messages are pushed, counted, read, and told as read', () =>
  with_client(
    {
      me: 'alice',
      prepare: (client) => {
        client.people.carol = { name: 'carol', online: false, last_seen: NOW - 3 * DAY };
        client.add('bob', { from: 'bob', text: 'earlier', sent_at: NOW - DAY });
        client.add('carol', { from: 'alice', text: 'bye', state: 'read', sent_at: NOW - 3 * DAY });
      },
    },
    async (page, client) => {
      await id(page, 'person').nth(1).waitFor();
      client.receive('carol', 'one');
      client.receive('carol', 'two');
      await has(page, id(page, 'unread'), '2');
      assert.equal(await id(page, 'person').first().getAttribute('data-name'), 'carol', 'the latest is on top');
      await titled(page, '(2) Peal');
      await id(page, 'person').first().click();
      await has(page, id(page, 'message-text'), 'two');
      assert.deepEqual(await client.called('read'), { name: 'carol' });
      await id(page, 'unread').waitFor({ state: 'detached' });
      await titled(page, 'Peal');
      assert.equal(await id(page, 'day').count(), 2, 'a heading for each day');
      client.receive('carol', 'three');
      await has(page, id(page, 'message-text'), 'three');
      await client.called('read', 2);
      assert.equal(await id(page, 'message-state').count(), 1, 'only own messages have a state');
      await has(page, id(page, 'presence'), 'Last seen');
      client.receive('dave', 'hello from a stranger');
      await has(page, id(page, 'person'), 'dave');
      assert.equal(await id(page, 'message').count(), 4, 'which does not appear in this chat');
    },
  ));

test('what is edited, deleted or forgotten changes where it is shown', () =>
  with_client({ me: 'alice', hash: '#bob' }, async (page, client) => {
    const one = client.receive('bob', 'one');
    const two = client.receive('bob', 'two');
    const three = client.receive('bob', 'three');
    const line = (m, what) => page.locator(`[data-id="${m.id}"] [data-testid=${what}]`);
    await line(three, 'message-text').waitFor();
    Object.assign(one, { text: 'one, put right', edited_at: NOW });
    client.push('changed', one);
    await has(page, line(one, 'message-text'), 'one, put right');
    await has(page, line(one, 'message-edited'), 'edited');
    assert.equal(await id(page, 'message-edited').count(), 1, 'no other one');
    Object.assign(three, { text: '', deleted_at: NOW });
    client.push('changed', three);
    await has(page, line(three, 'message-deleted'), 'This message was deleted.');
    assert.equal(await line(three, 'message-text').count(), 0, 'its text is gone');
    await picture(page, 'client-changed');
    client.chats.bob = client.chats.bob.filter((m) => m.id !== two.id);
    client.push('forgotten', { ids: [two.id] });
    await page.locator(`[data-id="${two.id}"]`).waitFor({ state: 'detached' });
    assert.equal(await id(page, 'message').count(), 2, 'the others stay');
    client.chats.bob = [];
    client.push('forgotten', { name: 'bob' });
    await id(page, 'message').first().waitFor({ state: 'detached' });
  }));

test('text is shown as text', () =>
  with_client({ me: 'alice', hash: '#bob' }, async (page, client) => {
    const nasty = '<img src=x onerror="document.title=\'owned\'"><script>document.title=\'owned\'</script>&amp; {{token}}';
    await has(page, id(page, 'presence'), 'Online');
    client.receive('bob', nasty);
    await has(page, id(page, 'message-text'), 'onerror');
    assert.equal(await id(page, 'message-text').textContent(), nasty);
    assert.equal(await page.locator('img, [onerror]').count(), 0);
    assert.equal(await page.evaluate(() => document.scripts.length), 1, 'only the page\'s own script');
    await has(page, id(page, 'person'), nasty);
  }));

test('a long history comes in pages and keeps its order', () =>
  with_client(
    {
      me: 'alice',
      hash: '#bob',
      prepare: (client) => {
        for (let i = 0; i < 120; i++) client.add('bob', { from: i % 2 ? 'bob' : 'alice', text: `number ${i}`, sent_at: NOW - (120 - i) * MINUTE });
      },
    },
    async (page) => {
      await has(page, id(page, 'message-text'), 'number 119');
      assert.equal(await id(page, 'message').count(), 50);
      await has(page, id(page, 'message-text').last(), 'number 119');
      assert.ok(await id(page, 'message').last().isVisible());
      await id(page, 'more').click();
      await has(page, id(page, 'message-text'), /number 20$/);
      await id(page, 'more').click();
      await has(page, id(page, 'message-text'), /number 0$/);
      await id(page, 'more').waitFor({ state: 'detached' });
      const texts = await id(page, 'message-text').allTextContents();
      assert.deepEqual(texts, Array.from({ length: 120 }, (_, i) => `number ${i}`));
    },
  ));

test('the connection is never silent, and nothing is lost over a restart', () =>
  with_client({ me: 'alice', hash: '#bob' }, async (page, client) => {
    const badge = id(page, 'connection').first();
    await page.locator('[data-testid=connection][data-connected=true]').waitFor();
    client.link = { connected: false, server: null, reason: 'the server is gone' };
    client.push('connection', client.link);
    await has(page, badge, 'Reconnecting… (the server is gone)');
    client.link = { connected: true, server: '127.0.0.2:7401', reason: '' };
    client.push('connection', client.link);
    await has(page, badge, 'Connected to 127.0.0.2:7401');

    await id(page, 'composer').fill('half a thought');
    const { port } = client;
    await client.stop();
    await has(page, badge, 'Peal is not running');
    client.add('bob', { from: 'bob', text: 'came meanwhile', unread: true });
    await client.start(port); // with another token
    await has(page, id(page, 'message-text'), 'came meanwhile');
    await has(page, badge, 'Connected to 127.0.0.2:7401');
    assert.equal(await id(page, 'composer').inputValue(), 'half a thought');
    await page.keyboard.press('Enter');
    await has(page, id(page, 'message-text'), 'half a thought');
    client.receive('bob', 'and live again');
    await has(page, id(page, 'message-text'), 'and live again');
    assert.equal(await id(page, 'message').count(), 3, 'each once');
  }));

test('presence is unknown while it cannot be, and comes back by itself', () =>
  with_client(
    {
      me: 'alice',
      hash: '#bob',
      prepare: (client) => {
        client.people.carol = { name: 'carol', online: true, last_seen: 0 };
        client.add('bob', { from: 'bob', text: 'hello', sent_at: NOW - MINUTE });
        client.add('carol', { from: 'carol', text: 'good day', sent_at: NOW - 2 * MINUTE });
      },
    },
    async (page, client) => {
      const presence = (value) => page.locator(`[data-testid=presence][data-online=${value}]`);
      const listed = (name, text) => page.locator(`[data-testid=person][data-name=${name}]`).filter({ hasText: text }).waitFor();
      const everybodyUnknown = async () => {
        await has(page, presence('unknown'), /^Unknown while disconnected$/);
        await listed('bob', 'presence unknown while disconnected');
        await listed('carol', 'presence unknown while disconnected');
        assert.equal(await page.locator('.presence.on, .dot.on').count(), 0, 'nothing is green');
        assert.equal(await page.locator('.dot').count(), 3, 'the dots are grey, not gone');
      };
      await has(page, presence('true'), /^Online$/);
      await listed('carol', ', online');
      assert.equal(await page.locator('.dot.on').count(), 3);

      client.link = { connected: false, server: null, reason: 'no server answers' };
      client.push('connection', client.link);
      await everybodyUnknown();
      await picture(page, 'client-disconnected');
      client.people.carol = { name: 'carol', online: false, last_seen: NOW - 3 * DAY }; // no event tells the page
      client.link = { connected: true, server: '127.0.0.2:7401', reason: '' };
      client.push('connection', client.link);
      await has(page, presence('true'), /^Online$/);
      await listed('carol', ', offline');
      await page.locator('[data-name=bob] .dot.on').waitFor();

      const { port } = client;
      await client.stop();
      await everybodyUnknown();
      client.people.bob = { name: 'bob', online: false, last_seen: Date.now() - 5 * MINUTE };
      client.people.carol = { name: 'carol', online: true, last_seen: 0 };
      await client.start(port);
      await has(page, presence('false'), 'Last seen 5 min ago');
      await page.locator('[data-name=carol] .dot.on').waitFor();
      await listed('bob', ', offline');
    },
  ));

test('one does not find oneself, and what the client refuses is shown as it said it', () =>
  with_client({ me: 'alice' }, async (page, client) => {
    client.people.alice = { name: 'alice', online: true, last_seen: 0 };
    client.people['ALICE'] = client.people.alice; // another spelling of the same name
    for (const name of ['alice', 'ALICE']) {
      await id(page, 'find').fill(name);
      await page.keyboard.press('Enter');
      await has(page, id(page, 'error'), 'That is you.');
      assert.equal(await id(page, 'error').getAttribute('data-code'), 'refused');
      await id(page, 'error').getByRole('button').click();
      await id(page, 'error').waitFor({ state: 'detached' });
    }
    assert.equal(await id(page, 'person').count(), 0);
    assert.equal(await id(page, 'composer').count(), 0, 'no chat with oneself opens');
    client.commands.status = () => {
      throw new Refusal(403, 'refused', 'that is you', 'give another name');
    };
    await id(page, 'find').fill('bob');
    await page.keyboard.press('Enter');
    await has(page, id(page, 'error'), /^that is you give another name/);
    assert.equal(await id(page, 'error').getAttribute('data-code'), 'refused');
  }));

test('an account that is in use elsewhere', () =>
  with_client({ me: 'alice' }, async (page, client) => {
    await id(page, 'me').waitFor();
    client.me = null;
    client.push('session', { name: null, reason: 'taken_over' });
    await has(page, id(page, 'taken-over'), 'alice is in use on another device');
    await picture(page, 'client-taken-over');
    await id(page, 'sign-in-again').click();
    await id(page, 'login-tab').waitFor();
  }));

function conversation(client) {
  client.people.carol = { name: 'carol', online: false, last_seen: NOW - 42 * MINUTE };
  client.people['d.verylongname-of-somebody_here00'] = { name: 'd.verylongname-of-somebody_here00', online: true, last_seen: 0 };
  client.add('carol', { from: 'alice', text: 'The minutes are in the shared folder, have a look when you find the time.', state: 'stored', sent_at: NOW - 50 * MINUTE });
  client.add('d.verylongname-of-somebody_here00', { from: 'd.verylongname-of-somebody_here00', text: 'https://example.org/a/very/long/address/without/any/space/that/must/not/widen/the/page?at=all', sent_at: NOW - 2 * DAY, unread: true });
  const say = (from, text, ago, state) => client.add('bob', { from, text, sent_at: NOW - ago, state });
  say('bob', 'Morning! Did the fifth server come up?', DAY + 40 * MINUTE);
  say('alice', 'It did. The ring closed in two seconds, I watched it.', DAY + 38 * MINUTE, 'read');
  say('alice', 'Then I pulled the plug on one, to be sure.', DAY + 37 * MINUTE, 'read');
  say('bob', 'And?', 30 * MINUTE);
  say('alice', 'Nothing lost. Have a look:\n\nhttps://example.org/a/very/long/address/without/any/space/that/must/not/widen/the/page', 28 * MINUTE, 'read');
  say('bob', 'Splendid 🎉', 20 * MINUTE);
  say('alice', 'Lunch?', 12 * MINUTE, 'delivered');
  say('alice', 'I can be there at noon.', 4 * MINUTE, 'stored');
  say('alice', 'This one was written on the train.', 2 * MINUTE, 'queued');
  say('alice', 'An old one that nobody fetched.', MINUTE, 'expired');
}

for (const [name, context] of Object.entries({
  light: {},
  dark: { colorScheme: 'dark' },
  phone: { viewport: { width: 360, height: 640 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
  'phone-dark': { viewport: { width: 360, height: 640 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true, colorScheme: 'dark' },
})) {
  test(`everything fits: ${name}`, () =>
    with_client({ me: 'alice', prepare: conversation, context }, async (page, client) => {
      const phone = name.startsWith('phone');
      await id(page, 'person').nth(2).waitFor();
      await picture(page, `client-${name}-list`);
      assert.equal(await overflow(page), 0, 'the list is not wider than the screen');
      await page.locator('[data-testid=person][data-name=bob]').click();
      await has(page, id(page, 'message-text'), 'An old one');
      assert.equal(await overflow(page), 0, 'the chat is not wider than the screen');
      assert.equal(await id(page, 'find').isVisible(), !phone, 'one side at a time on a phone');
      const end = await id(page, 'message').last().boundingBox();
      const composer = await id(page, 'composer').boundingBox();
      assert.ok(end.y + end.height <= composer.y, 'the last message is in view, above the composer');
      await picture(page, `client-${name}-chat`);
      assert.deepEqual(await unnamed(page), [], 'every control has a name');
      if (phone) {
        client.push('connection', { connected: false, server: null, reason: '' });
        await page.locator('.chat [data-testid=connection]').waitFor();
        await id(page, 'back').click();
        await id(page, 'find').waitFor();
        assert.equal(await id(page, 'composer').count(), 0);
        await page.goBack();
        await id(page, 'composer').waitFor();
      }
      await page.goto(client.url + '#');
      await id(page, 'logout').click();
      await id(page, 'register-tab').click();
      assert.equal(await overflow(page), 0, 'the form is not wider than the screen');
      await picture(page, `client-${name}-form`);
    }));
}
