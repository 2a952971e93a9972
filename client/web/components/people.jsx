// The left side: who I am, finding somebody, and the conversations.

import { useState } from 'preact/hooks';
import { briefTime } from '../format.js';
import { find, hideRecovery, isLive, isOwn, logOut, openChat } from '../store.js';
import { Leave, Search, StateIcon } from './icons.jsx';
import { Avatar, Connection, Problem, Recovery } from './parts.jsx';

function Find() {
  const [name, setName] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const submit = async (e) => {
    e.preventDefault();
    if (busy || !name.trim()) return;
    setBusy(true);
    setError(null);
    try {
      await find(name.trim());
      setName('');
    } catch (err) {
      setError(err);
    }
    setBusy(false);
  };
  return (
    <form class="find" role="search" onSubmit={submit}>
      <div class="with-button">
        <input type="search" data-testid="find" value={name} onInput={(e) => setName(e.target.value)} placeholder="Find a person by name"
          aria-label="Find a person by name" maxLength={64} autocomplete="off" autocapitalize="none" autocorrect="off" spellcheck={false} enterkeyhint="search" />
        <button class="plain" data-testid="find-submit" aria-label="Find" disabled={busy}><Search /></button>
      </div>
      <Problem error={error} onClose={() => setError(null)} />
    </form>
  );
}

function Person({ person, me, open, live }) {
  const { name, unread, last } = person;
  const online = live && Boolean(person.online);
  let presence = online ? ', online' : ', offline';
  if (!live) presence = ', presence unknown while disconnected';
  else if (person.online === null) presence = ''; // asked, not answered yet
  const own = last && isOwn(last, me);
  return (
    <li>
      <button type="button" class="person" data-testid="person" data-name={name} aria-current={open ? 'true' : undefined} onClick={() => openChat(name)}>
        <Avatar name={name} online={online} />
        <span class="person-name">{name}<span class="hidden">{presence}</span></span>
        {last && <time class="person-time" dateTime={new Date(last.sent_at).toISOString()}>{briefTime(last.sent_at)}</time>}
        <span class="person-last">
          {own && <span class={`state ${last.state}`} title={last.state}><StateIcon state={last.state} /></span>}
          <span class="clip">{last ? (last.deleted_at ? 'Deleted' : last.text) : 'No messages yet'}</span>
        </span>
        {unread > 0 && <span class="unread" data-testid="unread" aria-label={`${unread} unread`}>{unread > 99 ? '99+' : unread}</span>}
      </button>
    </li>
  );
}

export function People({ me, stream, connection, people, peer, problem, onDismiss, recovery }) {
  const live = isLive({ stream, connection });
  return (
    <aside class="people">
      <header class="bar">
        <details class="me">
          <summary data-testid="me" title="Your account"><Avatar name={me.name} /><span class="clip">{me.display || me.name}</span></summary>
          <div class="me-card">
            <p class="note">Signed in as <strong>{me.name}</strong>. The fingerprint of the ring, as it stands after # in a peal:// link:</p>
            <code class="fingerprint">{me.fingerprint}</code>
          </div>
        </details>
        <button type="button" class="plain" data-testid="logout" onClick={logOut} title="Log out" aria-label="Log out"><Leave /></button>
      </header>
      <Connection stream={stream} connection={connection} />
      <Find />
      <Problem error={problem} onClose={onDismiss} />
      <Recovery recovery={recovery} onClose={hideRecovery} />
      <nav aria-label="Conversations">
        {people.length === 0 && <p class="empty">No conversations yet. Find somebody by name to begin.</p>}
        <ul>{people.map((p) => <Person key={p.name} person={p} me={me} open={p.name === peer} live={live} />)}</ul>
      </nav>
    </aside>
  );
}
