// A stand-in for the programs that serve the pages: the same paths, headers, token and events, with what they say decided by the
// test. The pages are bundled from their sources as the build does it.

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; manifest-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export async function bundle(folder) {
  const dir = path.join(root, folder);
  const { outputFiles } = await build({
    entryPoints: [path.join(dir, 'main.jsx')],
    bundle: true, minify: true, format: 'iife', jsx: 'automatic', jsxImportSource: 'preact', target: 'es2020', charset: 'utf8',
    write: false, outdir: '/out',
  });
  const made = (ext) => outputFiles.find((f) => f.path.endsWith(ext)).text;
  return {
    '/index.html': ['text/html; charset=utf-8', await readFile(path.join(dir, 'index.html'), 'utf8')],
    '/app.js': ['text/javascript; charset=utf-8', made('.js')],
    '/app.css': ['text/css; charset=utf-8', made('.css')],
    '/icon.svg': ['image/svg+xml', await readFile(path.join(dir, 'icon.svg'), 'utf8')],
  };
}

export class Refusal extends Error {
  constructor(status, code, message, hint = '') {
    super(message);
    Object.assign(this, { status, code, hint });
  }
}

// commands: { name: async (body) => reply }, may throw a Refusal. onSubscribe(send) gives a new stream its first events.
export class FakeProgram {
  constructor({ files, commands = {}, onSubscribe = () => {}, needsToken = true }) {
    Object.assign(this, { files, commands, onSubscribe, needsToken, calls: [], streams: new Set(), waiting: [] });
  }

  async start(port = 0) {
    this.token = randomBytes(16).toString('hex');
    this.server = createServer((req, res) => this.serve(req, res));
    await new Promise((done, failed) => this.server.once('error', failed).listen(port, '127.0.0.1', done));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/`;
    return this;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
    this.streams.clear();
  }

  push(event, data) {
    for (const s of this.streams) s.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  // Resolves once a command of this name has been called n times in all.
  async called(name, n = 1) {
    while (this.calls.filter((c) => c.name === name).length < n) await new Promise((done) => this.waiting.push(done));
    return this.calls.filter((c) => c.name === name)[n - 1].body;
  }

  async serve(req, res) {
    const url = new URL(req.url, this.url);
    res.setHeader('Content-Security-Policy', CSP);
    res.setHeader('Cache-Control', 'no-store');
    const refuse = (e) => {
      res.writeHead(e.status, { 'Content-Type': 'application/json' });
      res.end(JSON.stringify({ error: { code: e.code, message: e.message, hint: e.hint } }));
    };
    if (url.pathname === '/api/events') {
      if (this.needsToken && url.searchParams.get('token') !== this.token) return refuse(new Refusal(403, 'bad_token', 'Another run.'));
      res.writeHead(200, { 'Content-Type': 'text/event-stream' });
      res.write('retry: 100\n\n');
      this.streams.add(res);
      res.on('close', () => this.streams.delete(res));
      this.onSubscribe((event, data) => res.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
      return undefined;
    }
    if (url.pathname.startsWith('/api/')) {
      if (req.headers['x-peal-token'] !== this.token) return refuse(new Refusal(403, 'bad_token', 'Another run.', 'Reload the page.'));
      const name = url.pathname.slice('/api/'.length);
      let text = '';
      for await (const chunk of req) text += chunk;
      const body = JSON.parse(text);
      this.calls.push({ name, body });
      for (const wake of this.waiting.splice(0)) wake();
      try {
        const reply = await this.commands[name](body);
        res.writeHead(200, { 'Content-Type': 'application/json' });
        res.end(JSON.stringify(reply));
      } catch (e) {
        refuse(e instanceof Refusal ? e : new Refusal(500, 'bug', String(e)));
      }
      return undefined;
    }
    const file = this.files[url.pathname === '/' ? '/index.html' : url.pathname];
    if (!file) return refuse(new Refusal(404, 'not_found', 'No such page.'));
    res.writeHead(200, { 'Content-Type': file[0] });
    res.end(url.pathname === '/' ? file[1].replaceAll('{{token}}', this.needsToken ? this.token : '') : file[1]);
    return undefined;
  }
}

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });

// A page whose errors fail the test: what it throws, and what the Content-Security-Policy blocked. Requests that fail because the
// test stopped the program are expected, and are what the page itself must cope with.
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1200, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(10000);
  page.problems = [];
  page.on('pageerror', (e) => page.problems.push(String(e)));
  page.on('console', (m) => {
    if (m.type() === 'error' && !m.text().startsWith('Failed to load resource')) page.problems.push(m.text());
  });
  await page.goto(url);
  return page;
}

export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

// The test ids of buttons and inputs that have no name for a screen reader.
export const unnamed = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('button, input, textarea')]
      .filter((e) => !e.textContent.trim() && !e.getAttribute('aria-label') && !(e.labels && e.labels.length))
      .map((e) => e.outerHTML),
  );

// With SCREENSHOTS=DIR the tests leave pictures of the pages there.
export async function picture(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: path.join(process.env.SCREENSHOTS, `${name}.png`), animations: 'disabled' });
}
