// The story of the README, in a real browser: two people at two clients' pages, the visualizer, and servers that are killed.
// PEAL_SHOTS=FOLDER keeps screenshots; the README's picture is made of them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { bin, killAll, folder, peal, Person, Proc, Ring, PATIENCE } from './lib.mjs';

const shots = process.env.PEAL_SHOTS ?? folder('shots');
mkdirSync(shots, { recursive: true });

let ring, browser, alice, bob, visualizer, pages;
const id = (name) => `[data-testid="${name}"]`;

async function open(url, size = { width: 1180, height: 760 }) {
  const context = await browser.newContext({ viewport: size });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', (e) => faults.push(String(e)));
  page.on('request', (r) => { if (!r.url().startsWith(new URL(url).origin) && !r.url().startsWith('data:')) faults.push(`fetched ${r.url()}`); });
  page.faults = faults;
  await page.goto(url);
  return page;
}

before(async () => {
  ring = await Ring.start(5);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });
  alice = new Person('alice', ring.servers);
  bob = new Person('bob', ring.servers.slice().reverse());
  visualizer = new Proc(join(bin, 'peal-visualizer'), ['--listen', '127.0.0.1:0', '--multicast', 'off', ...ring.servers.flatMap((s) => ['--server', s.address])], { name: 'visualizer' });
  const ringUrl = (await visualizer.match(/^ready web=(\S+)$/m))[1];
  pages = { alice: await open(await alice.web()), bob: await open(await bob.web()), ring: await open(ringUrl) };
});

after(async () => {
  await browser?.close();
  await ring?.stop();
  await killAll();
});

async function register(page, name, password) {
  await page.click(id('register-tab'));
  await page.fill(id('name'), name);
  await page.fill(id('password'), password);
  await page.click(id('submit'));
  await page.waitForSelector(id('find'));
}

async function write(page, text) {
  await page.fill(id('composer'), text);
  await page.click(id('send'));
}

const texts = (page) => page.locator(id('message-text')).allTextContents();
const state = (page, text) => page.locator(id('message'), { hasText: text }).last().locator(id('message-state'));

async function shows(page, list) {
  await page.waitForFunction(
    ([sel, want]) => JSON.stringify([...document.querySelectorAll(sel)].map((e) => e.textContent)) === JSON.stringify(want),
    [id('message-text'), list], { timeout: PATIENCE });
}

const nodes = (s) => pages.ring.locator(`${id('node')}[data-state="${s}"]`);
const ringShows = (n) => pages.ring.waitForFunction(
  ([sel, count]) => document.querySelectorAll(sel).length === count, [`${id('node')}[data-state="up"]`, n], { timeout: PATIENCE });

test('alice and bob register, find each other and talk; states are told as they become true', async () => {
  await register(pages.alice, 'alice', alice.password);
  await register(pages.bob, 'bob', bob.password);
  await pages.alice.fill(id('find'), 'bob');
  await pages.alice.click(id('find-submit'));
  await pages.alice.waitForSelector(id('composer'));
  await pages.alice.waitForFunction((s) => /online/i.test(document.querySelector(s)?.textContent ?? ''), id('presence'), { timeout: PATIENCE });
  await write(pages.alice, 'Hello Bob, can you hear the bells?');
  await pages.bob.locator(id('person'), { hasText: 'alice' }).first().click();
  await shows(pages.bob, ['Hello Bob, can you hear the bells?']);
  await pages.alice.waitForFunction((s) => /read/i.test([...document.querySelectorAll(s)].at(-1)?.textContent ?? ''), id('message-state'), { timeout: PATIENCE });
  await write(pages.bob, 'Loud and clear.');
  await shows(pages.alice, ['Hello Bob, can you hear the bells?', 'Loud and clear.']);
  await ringShows(5);
});

test('the visualizer looks a name up: the server it names is the one that the servers name, and the way ends there', async () => {
  const told = (await peal(folder('lookup'), '--server', ring.servers[0].address, '--json', 'ring', 'lookup', 'alice')).json[0];
  await pages.ring.fill(id('lookup-name'), 'alice');
  await pages.ring.press(id('lookup-name'), 'Enter');
  const found = pages.ring.locator(`${id('found')}[data-key="${told.key}"]`);
  await found.waitFor();
  assert.equal(await found.getAttribute('data-owner'), told.owner);
  const path = (await pages.ring.locator(`${id('way')}[data-past="false"]`).getAttribute('data-path')).split(' ');
  assert.equal(path.at(-1), told.owner);
  assert.equal(path.length - 1, Number(await found.getAttribute('data-hops')));
  for (const node of path) assert.ok(ring.servers.some((s) => s.id === node), `${node} is one of the servers`);
  await pages.ring.screenshot({ path: join(shots, 'lookup.png') });
});

test('bob is away; three wait for him; he comes back and has them once, in order', async () => {
  const before = await texts(pages.bob);
  await pages.bob.context().close();
  assert.equal(await bob.page.signal('SIGTERM'), 0);
  for (const t of ['first while away', 'second while away', 'third while away']) {
    await write(pages.alice, t);
    await state(pages.alice, t).filter({ hasText: /stored/i }).waitFor();
  }
  pages.bob = await open(await bob.web());
  await pages.bob.locator(id('person'), { hasText: 'alice' }).first().click();
  await shows(pages.bob, [...before, 'first while away', 'second while away', 'third while away']);
  await state(pages.alice, 'third while away').filter({ hasText: /read/i }).waitFor();
});

test('each server in turn is killed: both go on writing, the visualizer shows it, and it comes back as itself', async () => {
  for (const s of ring.servers) {
    const { id: node } = s;
    const have = await texts(pages.bob);
    const [question, answer] = [`Server ${s.index} was just killed. Are you still there?`, `Still here, without server ${s.index}.`];
    await s.kill();
    await write(pages.alice, question);
    await shows(pages.bob, [...have, question]);
    await write(pages.bob, answer);
    await shows(pages.alice, [...have, question, answer]);
    await pages.ring.waitForSelector(`${id('node')}[data-id="${node}"][data-state="down"]`, { state: 'attached', timeout: PATIENCE });
    await ringShows(4);
    if (s.index === 3) await pages.ring.screenshot({ path: join(shots, 'ring-healing.png') });
    s.listen = s.address;
    await s.start();
    assert.equal(s.id, node, 'the same node');
    await ringShows(5);
    await ring.whole();
  }
  await pages.alice.screenshot({ path: join(shots, 'alice.png') });
  await pages.ring.screenshot({ path: join(shots, 'ring.png') });
  assert.ok(existsSync(join(shots, 'alice.png')));
  await compose();
});

/** The README's picture: the conversation, and the ring in the moment in which a server is gone. */
async function compose() {
  const page = await browser.newPage({ viewport: { width: 1600, height: 532 } });
  const image = (name) => `data:image/png;base64,${readFileSync(join(shots, name)).toString('base64')}`;
  await page.setContent(`<style>body{margin:0;background:#dfe3ea;display:flex;gap:16px;padding:16px}
    img{width:776px;border-radius:12px}</style>
    <img src="${image('alice.png')}"><img src="${image('ring-healing.png')}">`);
  await page.screenshot({ path: join(shots, 'picture.png') });
  await page.close();
}

test('what is typed is shown as text, never as markup', async () => {
  const evil = '<img src=x onerror="document.title=\'owned\'"> & <b>bold</b>';
  await write(pages.alice, evil);
  await pages.bob.waitForFunction(([s, t]) => [...document.querySelectorAll(s)].at(-1)?.textContent === t, [id('message-text'), evil], { timeout: PATIENCE });
  assert.notEqual(await pages.bob.title(), 'owned');
});

test('a telephone: nothing wider than the screen', async () => {
  const phone = await open(alice.url, { width: 360, height: 740 });
  await phone.locator(id('person'), { hasText: 'bob' }).first().click();
  await phone.waitForSelector(id('composer'));
  assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), 'no sideways scrolling');
  await phone.screenshot({ path: join(shots, 'phone.png') });
  await phone.context().close();
});

test('no page had a script error or fetched anything from elsewhere', async () => {
  for (const p of Object.values(pages)) assert.deepEqual(p.faults, []);
  assert.equal(await nodes('up').count(), 5, 'and the ring is still shown');
});
