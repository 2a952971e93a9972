// Signing in and registering: one form, two tabs.

import { useRef, useState } from 'preact/hooks';
import { signIn } from '../store.js';
import { Bell, Eye, Lock } from './icons.jsx';
import { Connection, Problem } from './parts.jsx';

const tabs = [
  { how: 'login', label: 'Sign in', go: 'Sign in', busy: 'Signing in…' },
  { how: 'register', label: 'Register', go: 'Create account', busy: 'Creating account…' },
];

export function SignIn({ stream, connection, problem }) {
  const [tab, setTab] = useState(tabs[0]);
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const list = useRef(null);

  const choose = (t) => {
    setTab(t);
    setError(null);
  };
  const onTabKey = (e) => {
    if (e.key !== 'ArrowLeft' && e.key !== 'ArrowRight') return;
    e.preventDefault();
    const next = tabs[1 - tabs.indexOf(tab)];
    choose(next);
    list.current.querySelector(`#tab-${next.how}`).focus();
  };
  const submit = async (e) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      await signIn(tab.how, name.trim(), password);
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };

  return (
    <main class="front">
      <div class="card">
        <header class="brand">
          <Bell size={52} />
          <div>
            <h1>Peal</h1>
            <p>Messages between people, through servers that cannot read them.</p>
          </div>
        </header>
        <div class="tabs" role="tablist" aria-label="Sign in or register" ref={list} onKeyDown={onTabKey}>
          {tabs.map((t) => (
            <button key={t.how} id={`tab-${t.how}`} type="button" role="tab" aria-selected={t === tab} aria-controls="sign-in-form"
              tabIndex={t === tab ? 0 : -1} data-testid={`${t.how}-tab`} onClick={() => choose(t)}>{t.label}</button>
          ))}
        </div>
        <form id="sign-in-form" role="tabpanel" aria-labelledby={`tab-${tab.how}`} onSubmit={submit}>
          <label for="name">Name</label>
          <input id="name" data-testid="name" value={name} onInput={(e) => setName(e.target.value)} required maxLength={64} autofocus
            autocomplete="username" autocapitalize="none" autocorrect="off" spellcheck={false} aria-describedby={tab.how === 'register' ? 'name-note' : undefined} />
          {tab.how === 'register' && <p class="note" id="name-note">1 to 32 letters, digits, dots, dashes or underscores. People find you by it.</p>}
          <label for="password">Password</label>
          <div class="with-button">
            <input id="password" data-testid="password" type={shown ? 'text' : 'password'} value={password} required
              onInput={(e) => setPassword(e.target.value)} autocomplete={tab.how === 'register' ? 'new-password' : 'current-password'}
              aria-describedby={tab.how === 'register' ? 'password-note' : undefined} />
            <button type="button" class="plain" aria-pressed={shown} aria-label="Show the password" onClick={() => setShown(!shown)}><Eye off={shown} /></button>
          </div>
          {tab.how === 'register' && <p class="note" id="password-note">It unlocks your keys and never leaves this machine: only the recovery key that you get next can reset it. Keep both well.</p>}
          <Problem error={error || problem} />
          <button class="primary" data-testid="submit" disabled={busy}>{busy ? tab.busy : tab.go}</button>
        </form>
        <footer>
          <Connection stream={stream} connection={connection} />
          <p class="note sealed"><Lock /> End-to-end encrypted</p>
        </footer>
      </div>
    </main>
  );
}

export const TakenOver = ({ me, onContinue }) => (
  <main class="front">
    <div class="card" data-testid="taken-over" role="alert">
      <header class="brand"><Bell size={52} /><h1>Signed in elsewhere</h1></header>
      <p>{me ? <><strong>{me.name}</strong> is</> : 'Your account is'} in use on another device now, and can be in use on one at a time. This page was signed out.</p>
      <p class="note">If that was not you, somebody else knows your password.</p>
      <button class="primary" data-testid="sign-in-again" onClick={onContinue}>Sign in here again</button>
    </div>
  </main>
);
