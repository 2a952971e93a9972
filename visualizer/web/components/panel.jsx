// Beside the picture: how the ring is, the way to a name, its servers as a table, and what happened.

import { useState } from 'preact/hooks';
import { hopsText, lookUp, select, short, stateOf, steps, took, verdict } from '../store.js';

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
const words = { up: 'up', down: 'down', joining: 'joining', leaving: 'leaving', unwell: 'disk', suspect: 'late' };

export function Status({ ring, stream, connection }) {
  let watching = 'The visualizer is not running – reconnecting…';
  if (stream && !connection.connected) watching = 'No server can be reached – trying again…';
  else if (stream) watching = connection.servers.length ? `Watching through ${connection.servers.join(', ')}` : 'Watching';
  const sound = stream && connection.connected;
  const { kind, headline } = ring ? verdict(ring) : { kind: 'broken', headline: 'Waiting for the first picture of the ring…' };
  return (
    <section class="status" aria-label="The ring">
      <p class={`verdict ${kind} ${sound ? '' : 'stale'}`} role="status" data-testid="ring-status" data-whole={String(Boolean(ring?.whole))}>
        {headline}
      </p>
      <p class={sound ? 'connection good' : 'connection'} role="status" data-testid="connection" data-connected={String(sound)}>
        <span class="lamp" aria-hidden="true" />{watching}
        {!sound && ring && ` Shown as it was at ${time.format(ring.at)}.`}
      </p>
      {ring && (
        <dl>
          <div><dt>Servers</dt><dd data-testid="size">{ring.size}</dd></div>
          <div><dt>Epoch</dt><dd data-testid="epoch">{ring.epoch}</dd></div>
          <div><dt>Coordinator</dt><dd data-testid="coordinator">{short(ring.coordinator)}</dd></div>
          <div><dt>Seen by</dt><dd>{short(ring.seen_by)}</dd></div>
        </dl>
      )}
    </section>
  );
}

function Found({ way, ring }) {
  const address = ring?.nodes.find((n) => n.id === way.owner)?.address;
  const code = (id) => <code>{short(id)}</code>;
  return (
    <p class="found" data-testid="found" data-key={way.key} data-owner={way.owner} data-hops={way.hops}>
      {way.name ? <><strong>{way.name}</strong>’s key </> : 'Somebody looked up the key '}{code(way.key)}
      {way.name ? ' is at ' : '. It is at '}{code(way.owner)}{address && ` (${address})`}: {hopsText(way.hops)}, {took(way.microseconds)}.
      <span class="steps">{way.path.length > 1 ? steps(way.path) : `${short(way.owner)} is the server that was asked`}</span>
    </p>
  );
}

export function Lookup({ ring, way }) {
  const [name, setName] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const submit = async (e) => {
    e.preventDefault();
    if (busy || !name.trim()) return;
    setBusy(true);
    setError(await lookUp(name.trim()));
    setBusy(false);
  };
  return (
    <section class="lookup" aria-label="Lookup">
      <form onSubmit={submit}>
        <label for="lookup-name">Look up a name</label>
        <div class="with-button">
          <input id="lookup-name" type="search" data-testid="lookup-name" value={name} onInput={(e) => setName(e.target.value)} placeholder="alice"
            maxLength={64} autocomplete="off" autocapitalize="none" autocorrect="off" spellcheck={false} enterkeyhint="search" />
          <button class="primary" data-testid="lookup-submit" disabled={busy}>Look up</button>
        </div>
      </form>
      {error && <p class="problem" role="alert" data-testid="lookup-error" data-code={error.code}><strong>{error.message}</strong> {error.hint}</p>}
      <div role="status" aria-live={way?.name ? 'polite' : 'off'}>
        {way ? <Found way={way} ring={ring} /> : <p class="note">Which server keeps a name, and how the ring finds it: taken names and free ones alike.</p>}
      </div>
    </section>
  );
}

function Details({ node }) {
  return (
    <tr class="details">
      <td colSpan={5}>
        <dl>
          <div><dt>Identifier</dt><dd><code>{node.id}</code></dd></div>
          <div><dt>Successor</dt><dd><code>{short(node.successor)}</code></dd></div>
          <div><dt>Predecessor</dt><dd><code>{short(node.predecessor)}</code></dd></div>
          <div><dt>Started</dt><dd>{node.incarnation}×</dd></div>
        </dl>
      </td>
    </tr>
  );
}

function Row({ node, coordinator, chosen }) {
  const state = stateOf(node);
  return (
    <>
      <tr class={chosen ? 'chosen' : ''} data-testid="row" data-id={node.id} data-state={node.state}>
        <th scope="row">
          <button type="button" aria-expanded={chosen} onClick={() => select(node.id)}><code>{short(node.id)}</code>{coordinator && <span class="badge">coordinator</span>}</button>
          <span class="where">{node.address}</span>
        </th>
        <td><span class={`state ${state}`}>{words[state]}</span></td>
        <td class="next"><code>{short(node.successor)}</code></td>
        <td class="number">{node.clients ?? '–'}</td>
        <td class="number">{node.rows ?? '–'}</td>
      </tr>
      {chosen && <Details node={node} />}
    </>
  );
}

export const Servers = ({ ring, selected }) => (
  <section class="servers" aria-labelledby="servers">
    <h2 id="servers">Servers</h2>
    <table>
      <thead><tr><th scope="col">Server</th><th scope="col">State</th><th scope="col" class="next">Next</th><th scope="col" class="number">Clients</th><th scope="col" class="number">Rows</th></tr></thead>
      <tbody>{ring.nodes.map((n) => <Row key={n.id} node={n} coordinator={n.id === ring.coordinator} chosen={n.id === selected} />)}</tbody>
    </table>
  </section>
);

export const Log = ({ log }) => (
  <section class="log" aria-labelledby="log">
    <h2 id="log">What happened</h2>
    {log.length === 0 && <p class="note">Nothing since this page was opened.</p>}
    <ol role="log" aria-live="polite" aria-relevant="additions" tabIndex={0} aria-labelledby="log">
      {log.map((e) => (
        <li key={e.key} data-testid="event" data-kind={e.kind}>
          <time dateTime={new Date(e.at).toISOString()}>{time.format(e.at)}</time>
          <span class={`kind ${e.kind}`}>{e.kind}</span>
          <span class="what">{e.node && <code>{short(e.node)}</code>} {e.text}</span>
        </li>
      ))}
    </ol>
  </section>
);
