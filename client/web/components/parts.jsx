// Small parts that several screens use.

import { hue, initial } from '../format.js';
import { Warning } from './icons.jsx';

export const Avatar = ({ name, online }) => (
  <span class={`avatar hue-${hue(name)}`} aria-hidden="true">
    {initial(name)}
    {online !== undefined && <span class={online ? 'dot on' : 'dot'} />}
  </span>
);

// An error of the client, as it said it, with what to do about it.
export const Problem = ({ error, onClose }) => error && (
  <div class="problem" role="alert" data-testid="error" data-code={error.code}>
    <Warning />
    <p><strong>{error.message}</strong>{error.hint && <> {error.hint}</>}</p>
    {onClose && <button type="button" class="plain" onClick={onClose} aria-label="Dismiss">✕</button>}
  </div>
);

// The key that resets a forgotten password: shown once, kept nowhere.
export const Recovery = ({ recovery, onClose }) => recovery && (
  <section class="recovery" data-testid="recovery" aria-label="Your recovery key">
    <p><strong>Your recovery key.</strong> Write it down: should you forget the password, only this opens your account. It is shown this once.</p>
    <code class="fingerprint" data-testid="recovery-key">{recovery.match(/.{1,20}/g).map((half) => <span key={half}>{half}</span>)}</code>
    <button type="button" class="primary" data-testid="recovery-done" onClick={onClose}>I have written it down</button>
  </section>
);

export function Connection({ stream, connection }) {
  const { connected, server, reason } = connection;
  const good = stream && connected;
  let text = `Connected to ${server || 'a server'}`;
  if (!stream) text = 'Peal is not running – reconnecting…';
  else if (!connected) text = reason ? `Reconnecting… (${reason})` : 'Reconnecting…';
  return (
    <p class={good ? 'connection good' : 'connection'} role="status" data-testid="connection" data-connected={String(good)}
      title={good ? text : `${text} What you write is kept here and sent later.`}>
      <span class="lamp" aria-hidden="true" />
      <span class="connection-text">{text}</span>
    </p>
  );
}
