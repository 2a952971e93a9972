// peal-sim --watch: the visualizer's page, fed from simulated nodes.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PATIENCE, Proc, bin, killAll } from '../e2e/lib.mjs';
import { launch, open, overflow, picture } from './lib.mjs';

let browser;
before(async () => { browser = await launch(); });
after(async () => {
  await browser.close();
  await killAll();
});

const sim = (...args) => new Proc(join(bin, 'peal-sim'), args);
const ready = async (p, from = 'out') => (await p.match(/ready web=(\S+)/, { from }))[1];
const id = (page, name) => page.getByTestId(name);
const event = (page, kind) => page.locator(`[data-testid=event][data-kind=${kind}]`);
const verdict = (p) => JSON.parse(p.lines().at(-1));

// The page of a simulator that plays this; the story has a page and the process.
async function watching(args, story) {
  const p = sim('--watch', '0', ...args);
  const page = await open(browser, await ready(p));
  page.setDefaultTimeout(PATIENCE); // the run itself takes seconds
  try {
    await story(page, p);
    assert.deepEqual(page.problems, [], 'the page threw nothing and broke no policy');
  } finally {
    await page.context().close();
    await p.signal('SIGKILL');
  }
}

test('a partition is seen: twelve nodes, of which half go down and come back', () =>
  watching(['--scenario', 'partition', '--nodes', '12', '--duration', '100', '--pace', '20'], async (page, p) => {
    await id(page, 'node').nth(11).waitFor();
    assert.equal(await id(page, 'row').count(), 12);
    await id(page, 'connection').filter({ hasText: 'Watching through peal-sim, partition' }).waitFor();
    await page.waitForFunction(() => {
      const states = [...document.querySelectorAll('[data-testid=node]')].map((n) => n.dataset.state);
      return ['up', 'down'].every((state) => states.filter((s) => s === state).length === 6); // the other half is cut off
    });
    await picture(page, 'sim-cut');
    await event(page, 'lookup').first().waitFor();
    await event(page, 'up').nth(5).waitFor();
    await id(page, 'connection').filter({ hasText: '(the run is over)' }).waitFor();
    await page.locator('[data-testid=ring-status][data-whole=true]').waitFor();
    assert.equal(await page.locator('[data-testid=node][data-state=up]').count(), 12);
    assert.equal(await page.locator('[data-testid=node][data-coordinator=true]').count(), 1);
    assert.equal(await page.locator('.arrow:not(marker *)').count(), 12);
    await picture(page, 'sim-over');
    await id(page, 'lookup-name').fill('alice');
    await id(page, 'lookup-name').press('Enter');
    await id(page, 'lookup-error').filter({ hasText: 'A simulated ring takes no questions' }).waitFor();
    const [said] = await p.match(/^\{.*\}$/m); // while the page stays
    assert.equal(JSON.parse(said).ok, true);
    assert.equal(await p.signal('SIGINT'), 0, 'the exit status is the verdict');
  }));

test('of many nodes 64 are shown, and how many there are is said', () =>
  watching(['--scenario', 'steady', '--nodes', '250', '--duration', '1', '--pace', '1000'], async (page) => {
    await id(page, 'connection').filter({ hasText: '64 of 250 nodes are shown (the run is over)' }).waitFor();
    await page.locator('[data-testid=ring-status][data-whole=true]').waitFor();
    assert.equal(await id(page, 'node').count(), 64);
    assert.equal(await id(page, 'size').textContent(), '250');
    const ids = await id(page, 'node').evaluateAll((all) => all.map((n) => n.dataset.id));
    const sectors = new Set(ids.map((i) => parseInt(i.slice(0, 2), 16) >> 4));
    assert.equal(sectors.size, 16, 'they lie all around the ring');
    assert.equal(await overflow(page), 0);
    await picture(page, 'sim-many');
  }));

test('a run that is watched is the same as one that is not', async () => {
  const args = ['--scenario', 'small', '--nodes', '9', '--seed', '7', '--seeds', '3', '--json'];
  const alone = sim(...args);
  const watched = sim(...args, '--watch', '0', '--pace', '0', '--linger', '0');
  assert.equal(await alone.ended, 0, alone.err);
  assert.equal(await watched.ended, 0, watched.err);
  assert.match(watched.err, /ready web=http:\/\/127\.0\.0\.1:\d+\//);
  assert.match(verdict(alone).digest, /^[0-9a-f]{16}$/);
  assert.deepEqual(verdict(watched), verdict(alone));
});

test('an interrupt in the middle of a run ends it without a verdict', async () => {
  const p = sim('--scenario', 'steady', '--nodes', '5', '--duration', '100000', '--watch', '0');
  const page = await open(browser, await ready(p));
  await id(page, 'node').first().waitFor();
  assert.equal(await p.signal('SIGINT'), 130);
  assert.match(p.err, /interrupted at [\d.]+ virtual seconds: there is no verdict/);
  assert.equal(p.lines().length, 1, 'nothing but where the page was');
  await page.context().close();
});

test('a port that is taken, and options that mean nothing alone', async () => {
  const other = createServer();
  await new Promise((done) => other.listen(0, '127.0.0.1', done));
  const taken = sim('--scenario', 'small', '--watch', String(other.address().port), '--linger', '0');
  assert.equal(await taken.ended, 2);
  assert.match(taken.err, /--watch \d+: the port is in use; choose another, or 0/);
  await new Promise((done) => other.close(done));
  for (const option of ['--pace', '--linger']) {
    const p = sim('--scenario', 'small', option, '1');
    assert.equal(await p.ended, 2);
    assert.match(p.err, new RegExp(`${option} needs --watch PORT`));
  }
});
