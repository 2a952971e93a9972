// The page of the visualizer: the live ring, its servers as a table, and a log of what happened.
//
// Stable handles for tests, as data-testid:
//   ring-status (data-whole="true"|"false"), size, epoch, coordinator   how the ring is
//   middle                                                              the same in the middle of the picture
//   connection (data-connected)                                         whether the picture is live
//   node (data-id, data-state, data-coordinator)                        a server in the picture
//   row (data-id, data-state)                                           the same in the table
//   event (data-kind)                                                   a line of the log, newest first
//   lookup-name, lookup-submit, lookup-error (data-code)                the form that looks a name up
//   found (data-key, data-owner, data-hops)                             what came of it, in words
//   way (data-path, data-past), hop, key                                the way there in the picture, and the key's place

import { render } from 'preact';
import { Log, Lookup, Servers, Status } from './components/panel.jsx';
import { Ring } from './components/ring.jsx';
import { listen, useStore } from './store.js';
import './style.css';

function App() {
  const { stream, connection, ring, log, selected, way, past } = useStore();
  const stale = !stream || !connection.connected;
  return (
    <main>
      <header><h1>Peal <span>the ring</span></h1></header>
      <Status ring={ring} stream={stream} connection={connection} />
      <div class="picture">{ring && <Ring ring={ring} selected={selected} stale={stale} way={way} past={past} />}</div>
      <Lookup ring={ring} way={way} />
      {ring && <Servers ring={ring} selected={selected} />}
      <Log log={log} />
    </main>
  );
}

render(<App />, document.getElementById('app'));
listen();
