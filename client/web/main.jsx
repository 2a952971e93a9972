// The page of a Peal client. Screens: signing in or registering; the conversations with one of them open; signed in elsewhere.
//
// Stable handles for tests, as data-testid:
//   login-tab, register-tab, name, password, submit     the form in front
//   error (data-code)                                   an error's text, wherever it is shown
//   connection (data-connected="true"|"false")          the link to a server; in a chat on a phone shown only while it is broken
//   me, logout                                          who is signed in (opens the ring's fingerprint); logs out
//   find, find-submit                                   the box that looks a person up by name and opens the chat
//   person (data-name), unread                          a conversation in the list, and the count on it
//   presence (data-online="true"|"false"|"unknown"), back
//                                                       the head of the open chat; back to the list on a phone
//   messages, more, day                                 the list; the button for earlier ones; a day's heading
//   message (data-id, data-state, data-from), message-text, message-state
//                                                       one message; message-state only on one's own: Queued, Stored, Delivered, …
//   composer, send                                      where one writes; Enter sends too
//   message-edited, message-deleted                     the mark of an edited one; what stands for a deleted one
//   recovery, recovery-key, recovery-done               after registering, the key that resets a forgotten password
//   taken-over, sign-in-again                           the screen that says the account is in use elsewhere

import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { Chat, NoChat } from './components/chat.jsx';
import { Bell } from './components/icons.jsx';
import { Connection, Problem } from './components/parts.jsx';
import { People } from './components/people.jsx';
import { SignIn, TakenOver } from './components/signin.jsx';
import { dismiss, signInAgain, start, useStore } from './store.js';
import './style.css';

function App() {
  const store = useStore();
  const { phase, me, stream, connection, people, peer, problem } = store;
  const unread = people.reduce((n, p) => n + p.unread, 0);
  useEffect(() => {
    document.title = phase === 'main' && unread > 0 ? `(${unread}) Peal` : 'Peal';
  }, [phase, unread]);

  if (phase === 'sign-in') return <SignIn stream={stream} connection={connection} problem={problem} />;
  if (phase === 'taken-over') return <TakenOver me={me} onContinue={signInAgain} />;
  if (phase === 'loading') {
    return (
      <main class="front loading"><Bell size={64} /><Problem error={problem} />{!stream && <Connection stream={stream} connection={connection} />}</main>
    );
  }
  return (
    <main class={peer ? 'split open' : 'split'}>
      <People me={me} stream={stream} connection={connection} people={people} peer={peer} problem={problem} onDismiss={dismiss} recovery={store.recovery} />
      {peer ? <Chat store={store} /> : <NoChat />}
    </main>
  );
}

render(<App />, document.getElementById('app'));
start();
