// The page of the visualizer against a stand-in for it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FakeProgram, Refusal, bundle, launch, open, overflow, picture, unnamed } from './lib.mjs';

let browser;
let files;
before(async () => {
  files = await bundle('visualizer/web');
  browser = await launch();
});
after(() => browser.close());

const ids = ['0a', '2f', '31', '9c', 'd4'].map((start) => start.padEnd(40, '7'));

// A ring whose successors skip those that are down.
function ring({ down = [], epoch = 5, coordinator = 4, whole = true, all = ids } = {}) {
  const up = all.filter((_, i) => !down.includes(i));
  const after = (id, step) => up[(up.indexOf(id) + step + up.length) % up.length];
  return {
    whole, size: up.length, epoch, coordinator: coordinator === null ? null : all[coordinator], seen_by: up[0], at: Date.now(),
    nodes: all.map((id, i) => ({
      id, address: `127.0.0.${i + 1}:7401`, incarnation: 1, state: down.includes(i) ? 'down' : 'up',
      successor: after(id, 1) ?? id, predecessor: after(id, -1) ?? id, clients: i, rows: 100 + i,
    })),
  };
}

// A lookup as the visualizer tells of it: the indices of the servers that it passed, and where the key lies.
let serial = 0;
function way(stops, key, all = ids) {
  serial += 1;
  const path = stops.map((i) => all[i]);
  return { serial, at: Date.now(), key: key.padEnd(40, '5'), owner: path.at(-1), path, hops: path.length - 1, microseconds: 640 };
}

// As the visualizer does: the answer to the page that asks, an event to every page. `ways`: by name.
function answers(ways) {
  return (program) => ({
    async lookup({ name }) {
      if (!ways[name]) throw new Refusal(400, 'malformed', 'a name has only letters', 'try <b>another</b>');
      const found = way(...ways[name]);
      program.push('path', found);
      return { ...found, name };
    },
  });
}

async function with_ring(options, story) {
  const program = new FakeProgram({
    files,
    onSubscribe: (send) => {
      send('connection', { connected: true, servers: ['127.0.0.1:7401', '127.0.0.2:7401'] });
      send('ring', program.now);
    },
  });
  program.now = options.ring ?? ring();
  program.commands = options.commands?.(program) ?? {};
  program.show = (next) => {
    program.now = next;
    program.push('ring', next);
  };
  await program.start();
  const page = await open(browser, program.url, options.context);
  try {
    await story(page, program);
    assert.deepEqual(page.problems, [], 'the page threw nothing and broke no policy');
  } finally {
    await page.context().close();
    await program.stop();
  }
}

const id = (page, name) => page.getByTestId(name);
const has = (page, locator, text) => locator.filter({ hasText: text }).first().waitFor();
const node = (page, i, state) => page.locator(`[data-testid=node][data-id="${ids[i]}"][data-state=${state}]`);

test('the ring, its servers, and where they lie', () =>
  with_ring({}, async (page) => {
    await has(page, id(page, 'ring-status'), /^The ring is whole$/);
    assert.equal(await id(page, 'middle').textContent(), '5 / 5ring whole');
    assert.equal(await id(page, 'node').count(), 5);
    assert.equal(await id(page, 'row').count(), 5);
    assert.equal(await id(page, 'size').textContent(), '5');
    assert.equal(await id(page, 'epoch').textContent(), '5');
    assert.equal(await id(page, 'coordinator').textContent(), ids[4].slice(0, 6));
    assert.equal(await page.locator('[data-testid=node][data-coordinator=true]').getAttribute('data-id'), ids[4]);
    await has(page, id(page, 'connection'), 'Watching through 127.0.0.1:7401, 127.0.0.2:7401');
    assert.equal(await page.locator('.arrow').count(), 5);
    assert.equal(await page.locator('.astray').count(), 1, 'none is astray but the unused arrow head');
    const centre = async (i) => {
      const b = await node(page, i, 'up').locator('.disc').boundingBox();
      return [b.x + b.width / 2, b.y + b.height / 2];
    };
    const track = await page.locator('.track').boundingBox();
    const middle = [track.x + track.width / 2, track.y + track.height / 2];
    for (let i = 0; i < ids.length; i++) {
      const [x, y] = await centre(i);
      const turn = (Math.atan2(x - middle[0], middle[1] - y) / (2 * Math.PI) + 1) % 1;
      assert.ok(Math.abs(turn - parseInt(ids[i].slice(0, 8), 16) / 2 ** 32) < 0.005, `server ${i} lies at its identifier's place`);
    }
  }));

test('a server whose disk is full is there, but not counted as up', () =>
  with_ring({}, async (page, program) => {
    await node(page, 2, 'up').waitFor();
    const sick = ring();
    sick.nodes[2].state = 'unwell';
    program.show(sick);
    await node(page, 2, 'unwell').waitFor();
    await has(page, id(page, 'ring-status'), /^The ring is closed: 4 of 5 servers up$/);
    await has(page, id(page, 'row').filter({ hasText: '127.0.0.3:7401' }), 'disk');
    await has(page, id(page, 'event'), '127.0.0.3:7401 steps back: its disk is full or fails');
    program.show(ring());
    await node(page, 2, 'up').waitFor();
  }));

test('a server dies and comes back', () =>
  with_ring({}, async (page, program) => {
    await node(page, 2, 'up').waitFor();
    program.show(ring({ down: [2], whole: false }));
    await node(page, 2, 'down').waitFor();
    await has(page, id(page, 'ring-status'), /^The ring is not whole$/);
    assert.equal(await id(page, 'ring-status').getAttribute('data-whole'), 'false');
    assert.equal(await id(page, 'middle').textContent(), '4 / 5not whole');
    await has(page, id(page, 'event'), '127.0.0.3:7401 does not answer');
    await picture(page, 'visualizer-down');
    program.show(ring({ down: [2] }));
    await has(page, id(page, 'ring-status'), /^The ring is closed: 4 of 5 servers up$/);
    assert.equal(await id(page, 'ring-status').getAttribute('data-whole'), 'true');
    assert.equal(await id(page, 'middle').textContent(), '4 / 5closed over 1 down');
    await has(page, id(page, 'event'), 'The ring is closed: 4 of 5 servers up');
    await picture(page, 'visualizer-closed');
    assert.equal(await page.locator('.arrow').count(), 4, 'its neighbours point past it');
    assert.equal(await page.locator('.arrow.astray').count(), 0);
    program.show(ring({ epoch: 6, coordinator: 0 }));
    await node(page, 2, 'up').waitFor();
    await has(page, id(page, 'ring-status'), /^The ring is whole$/);
    assert.equal(await id(page, 'middle').textContent(), '5 / 5ring whole');
    await has(page, id(page, 'event'), '127.0.0.3:7401 is up');
    await has(page, id(page, 'event'), 'epoch 6');
    await has(page, id(page, 'event'), 'is the coordinator');
    program.push('trace', { at: Date.now(), node: ids[1], kind: 'lookup', text: 'alice → 9c7777 <b>in one hop</b>' });
    await has(page, id(page, 'event').first(), '<b>in one hop</b>');
    assert.equal(await id(page, 'event').first().getAttribute('data-kind'), 'lookup');
    assert.equal(await page.locator('b').count(), 0, 'text is shown as text');
  }));

test('a pointer that passes over a live server is seen', () =>
  with_ring({}, async (page, program) => {
    const wrong = ring();
    wrong.nodes[0].successor = ids[3];
    program.show(wrong);
    await page.locator('.arrow.astray').waitFor({ state: 'attached' });
    assert.equal(await page.locator('.arrow').count(), 5);
  }));

test('a lost connection is said, and the picture marked as old', () =>
  with_ring({}, async (page, program) => {
    await node(page, 0, 'up').waitFor();
    program.push('connection', { connected: false, servers: [] });
    await has(page, id(page, 'connection'), 'No server can be reached');
    await page.locator('svg.stale').waitFor();
    const { port } = program;
    await program.stop();
    await has(page, id(page, 'connection'), 'The visualizer is not running');
    program.now = ring({ down: [1] });
    await program.start(port);
    await node(page, 1, 'down').waitFor();
    await page.locator('svg:not(.stale)').waitFor();
  }));

test('choosing a server shows the rest of it', () =>
  with_ring({}, async (page) => {
    await node(page, 3, 'up').locator('.hit').click();
    await has(page, page.locator('.details'), ids[3]);
    await page.locator(`[data-testid=row][data-id="${ids[3]}"] button`).press('Enter');
    await page.locator('.details').waitFor({ state: 'detached' });
  }));

test('one server alone, and many', () =>
  with_ring({ ring: ring({ all: ids.slice(0, 1), coordinator: 0 }) }, async (page, program) => {
    await node(page, 0, 'up').waitFor();
    assert.equal(await page.locator('.arrow').count(), 1, 'it is its own successor');
    const many = Array.from({ length: 100 }, (_, i) => Math.floor((i * 2 ** 32) / 100).toString(16).padStart(8, '0').padEnd(40, '0'));
    program.show(ring({ all: many, coordinator: 0 }));
    await page.locator(`[data-testid=node][data-id="${many[99]}"]`).waitFor();
    assert.equal(await id(page, 'node').count(), 100);
    assert.equal(await overflow(page), 0);
    await picture(page, 'visualizer-many');
  }));

const look = async (page, name) => {
  await id(page, 'lookup-name').fill(name);
  await id(page, 'lookup-name').press('Enter');
};
const drawn = (page) => page.locator('[data-testid=way][data-past=false]');
const path = (indices) => indices.map((i) => ids[i]).join(' ');
const way_of = (page, indices) => page.locator(`[data-testid=way][data-past=false][data-path="${path(indices)}"]`);

// Where each arrow of the way begins and ends, as the numbers of the nearest servers.
const ends = (page) =>
  drawn(page).evaluate((g) => {
    const nodes = [...document.querySelectorAll('[data-testid=node]')].map((n) => n.transform.baseVal[0].matrix);
    const nearest = ({ x, y }) => {
      const far = nodes.map((m) => Math.hypot(m.e - x, m.f - y));
      return far.indexOf(Math.min(...far));
    };
    return [...g.querySelectorAll('.hop')].map((p) => [nearest(p.getPointAtLength(0)), nearest(p.getPointAtLength(p.getTotalLength()))]);
  });

test('a name is looked up: the way is drawn in order, the key marked, and both told in words', () =>
  with_ring({ commands: answers({ alice: [[0, 4, 1, 3], '8'], bob: [[0], 'e0'] }) }, async (page, program) => {
    await node(page, 0, 'up').waitFor();
    await page.getByLabel('Look up a name').focus();
    await page.keyboard.type(' alice ');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter'); // the button
    await way_of(page, [0, 4, 1, 3]).waitFor();
    assert.deepEqual(program.calls, [{ name: 'lookup', body: { name: 'alice' } }]);
    assert.deepEqual(await ends(page), [[0, 4], [4, 1], [1, 3]]);
    assert.deepEqual(await drawn(page).locator('.number text').allTextContents(), ['1', '2', '3']);
    const turn = await id(page, 'key').evaluate((g) => {
      const { e, f } = g.transform.baseVal[0].matrix;
      return (Math.atan2(e, -f) / (2 * Math.PI) + 1) % 1;
    });
    assert.ok(Math.abs(turn - 0x85 / 0x100) < 0.005, `the key lies at its place, not at ${turn}`);
    await has(page, id(page, 'found'), 'alice’s key 855555 is at 9c7777 (127.0.0.4:7401): 3 hops, 640 µs.');
    await has(page, id(page, 'found'), '0a7777 → d47777 → 2f7777 → 9c7777');
    await has(page, id(page, 'event'), '9c7777 keeps the key 855555');
    assert.equal(await page.locator('[data-testid=event][data-kind=lookup]').count(), 1, 'told once');
    await picture(page, 'visualizer-way');
    await look(page, 'bob');
    await way_of(page, [0]).waitFor();
    await has(page, id(page, 'found'), 'bob’s key e05555 is at 0a7777 (127.0.0.1:7401): 0 hops');
    assert.equal(await id(page, 'found').getAttribute('data-owner'), ids[0]);
    assert.equal(await drawn(page).locator('.hop').count(), 0);
    const past = page.locator('[data-testid=way][data-past=true]');
    assert.equal(await past.getAttribute('data-path'), path([0, 4, 1, 3]));
    await page.waitForFunction(() => getComputedStyle(document.querySelector('.way.past')).opacity === '0');
    assert.equal(await id(page, 'key').count(), 1, 'one key is marked');
  }));

test('the lookups of others are seen, but do not take the place of what was asked here', () =>
  with_ring({ commands: answers({ alice: [[0, 3], '8'] }) }, async (page, program) => {
    await node(page, 0, 'up').waitFor();
    program.push('path', way([0, 2], '305'));
    await way_of(page, [0, 2]).waitFor();
    await has(page, id(page, 'found'), 'Somebody looked up the key 305555. It is at 317777 (127.0.0.3:7401): 1 hop, 640 µs.');
    program.push('path', way([0, 1], '11'));
    await way_of(page, [0, 1]).waitFor();
    await look(page, 'alice');
    await has(page, id(page, 'found'), 'alice’s key');
    program.push('path', way([0, 4], 'c0'));
    await has(page, id(page, 'event'), 'd47777 keeps the key c05555');
    assert.equal(await drawn(page).getAttribute('data-path'), path([0, 3]), 'still what was asked here');
    await has(page, id(page, 'found'), 'alice’s key');
    program.show(ring({ down: [1] }));
    await node(page, 1, 'down').waitFor();
    assert.equal(await drawn(page).getAttribute('data-path'), path([0, 3]), 'the ring goes on beside it');
  }));

test('a way through servers that the picture does not have', () =>
  with_ring({}, async (page, program) => {
    await node(page, 0, 'up').waitFor();
    const all = [...ids, '55'.padEnd(40, '0'), 'ee'.padEnd(40, '0')];
    program.push('path', way([0, 5, 6], 'e5', all));
    await id(page, 'hop').nth(1).waitFor({ state: 'attached' });
    assert.equal(await page.locator('.beyond').count(), 2);
    await has(page, id(page, 'found'), 'It is at ee0000: 2 hops');
  }));

test('what is wrong with a lookup is said, and the next one works', () =>
  with_ring({ commands: answers({ alice: [[0, 3], '8'] }) }, async (page, program) => {
    await node(page, 0, 'up').waitFor();
    await look(page, '   ');
    await look(page, 'a b');
    await page.locator('[data-testid=lookup-error][data-code=malformed]').waitFor();
    await has(page, page.getByRole('alert'), 'a name has only letters try <b>another</b>');
    assert.deepEqual(program.calls.map((c) => c.body.name), ['a b'], 'nothing is not asked for');
    const { port } = program;
    await program.stop();
    await look(page, 'alice');
    await page.locator('[data-testid=lookup-error][data-code=unreachable]').waitFor();
    await program.start(port); // with another token, as the visualizer has in each run
    await look(page, 'alice');
    await way_of(page, [0, 3]).waitFor();
    assert.equal(await id(page, 'lookup-error').count(), 0);
  }));

for (const [name, context] of Object.entries({
  light: {},
  dark: { colorScheme: 'dark' },
  still: { reducedMotion: 'reduce' },
  phone: { viewport: { width: 360, height: 640 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
})) {
  test(`everything fits: ${name}`, () =>
    with_ring({ context, ring: ring({ down: [1] }), commands: answers({ ['w'.repeat(32)]: [[0, 3, 4, 2], '300'] }) }, async (page, program) => {
      await node(page, 1, 'down').waitFor();
      for (let i = 0; i < 6; i++) program.push('trace', { at: Date.now(), node: ids[i % 5], kind: i % 2 ? 'lookup' : 'store', text: `the record of alice${i}, at 3 of 3 servers` });
      await id(page, 'event').nth(5).waitFor();
      await look(page, 'w'.repeat(32));
      await way_of(page, [0, 3, 4, 2]).waitFor();
      await id(page, 'event').nth(6).waitFor();
      assert.equal(await overflow(page), 0, 'not wider than the screen');
      assert.deepEqual(await unnamed(page), [], 'every control has a name');
      const moving = await page.evaluate(() => document.getAnimations().length);
      if (name === 'still') assert.equal(moving, 0, 'nothing moves for who wants it still');
      await picture(page, `visualizer-${name}`);
      if (process.env.SCREENSHOTS && name === 'phone') await page.screenshot({ path: `${process.env.SCREENSHOTS}/visualizer-phone-full.png`, fullPage: true });
    }));
}
