// The right side: one conversation.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { clockTime, dayKey, dayName, fullTime, presence } from '../format.js';
import { closeChat, isLive, isOwn, loadEarlier, personOf, send } from '../store.js';
import { Back, Down, Lock, Send, StateIcon } from './icons.jsx';
import { Avatar, Connection, Problem } from './parts.jsx';

const GROUP_MS = 5 * 60 * 1000;
const NEAR_END_PX = 80;
const REFRESH_MS = 30 * 1000;

const states = {
  queued: ['Queued', () => 'Only on this machine so far. It is sent as soon as a server can be reached.'],
  stored: ['Stored', (peer) => `The servers have it safely on disk until ${peer} fetches it.`],
  delivered: ['Delivered', (peer) => `On ${peer}’s device.`],
  read: ['Read', (peer) => `${peer} has seen it.`],
  expired: ['Expired', (peer) => `It was not fetched in time. ${peer} has not got it.`],
  failed: ['Failed', (peer) => `It could not be sent. ${peer} has not got it.`],
};

const WAITS = 'Only on this machine so far. It is tried again by itself.';

function MessageState({ message }) {
  const [label, why] = states[message.state] ?? [message.state, () => ''];
  return (
    <span class={`state ${message.state}`} data-testid="message-state" title={message.reason ? WAITS : why(message.to)}>
      <StateIcon state={message.state} />{label}{message.reason && <span data-testid="message-reason">: {message.reason}</span>}
    </span>
  );
}

function Message({ message, own, first }) {
  return (
    <li class={`message ${own ? 'own' : 'theirs'} ${first ? 'first' : ''}`} data-testid="message" data-id={message.id} data-state={message.state} data-from={message.from}>
      <div class="bubble">
        <span class="hidden">{own ? 'You: ' : `${message.from}: `}</span>
        {message.deleted_at
          ? <p class="text deleted" data-testid="message-deleted" title={fullTime(message.deleted_at)}>{own ? 'You have deleted this message.' : 'This message was deleted.'}</p>
          : <p class="text" data-testid="message-text" dir="auto">{message.text}</p>}
        <p class="under">
          {message.edited_at && !message.deleted_at && <span data-testid="message-edited" title={fullTime(message.edited_at)}>edited</span>}
          <time dateTime={new Date(message.sent_at).toISOString()} title={fullTime(message.sent_at)}>{clockTime(message.sent_at)}</time>
          {own && <MessageState message={message} />}
        </p>
      </div>
    </li>
  );
}

function rows(messages, me) {
  const out = [];
  let before = null;
  for (const m of messages) {
    const newDay = !before || dayKey(before.sent_at) !== dayKey(m.sent_at);
    if (newDay) {
      out.push(<li key={`day-${m.id}`} class="day" data-testid="day"><span>{dayName(m.sent_at)}</span></li>);
    }
    const first = newDay || before.from !== m.from || m.sent_at - before.sent_at > GROUP_MS;
    out.push(<Message key={m.id} message={m} own={isOwn(m, me)} first={first} />);
    before = m;
  }
  return out;
}

// Follows the end while the reader is there; otherwise leaves the place alone and says that there is more below.
function Messages({ peer, chat, me }) {
  const box = useRef(null);
  const atEnd = useRef(true);
  const old = useRef({ first: null, last: null, height: 0 });
  const [below, setBelow] = useState(false);
  const { messages } = chat;
  const first = messages[0]?.id;
  const last = messages[messages.length - 1];

  const toEnd = () => {
    box.current.scrollTop = box.current.scrollHeight;
    setBelow(false);
  };
  useLayoutEffect(() => {
    const was = old.current;
    const b = box.current;
    if (atEnd.current || (last && last.id !== was.last && isOwn(last, me))) toEnd();
    else if (first !== was.first) b.scrollTop += b.scrollHeight - was.height;
    else if (last?.id !== was.last) setBelow(true);
    old.current = { first, last: last?.id, height: b.scrollHeight };
  }, [messages, first, last]);
  useEffect(() => {
    // a keyboard that opens, or a window that changes, keeps the end in view
    const watch = new ResizeObserver(() => box.current && atEnd.current && toEnd());
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const onScroll = (e) => {
    const b = e.currentTarget;
    atEnd.current = b.scrollHeight - b.scrollTop - b.clientHeight < NEAR_END_PX;
    if (atEnd.current) setBelow(false);
  };

  return (
    <div class="scroll-frame">
      <div class="scroll" ref={box} onScroll={onScroll} tabIndex={0} role="region" aria-label={`Messages with ${peer}`}>
        {chat.more && <button type="button" class="earlier" data-testid="more" disabled={chat.loading} onClick={loadEarlier}>Earlier messages</button>}
        {chat.loading && messages.length === 0 && <p class="empty">Loading…</p>}
        {!chat.loading && !chat.error && messages.length === 0 && <p class="empty"><Lock /> Nothing said yet. Only you and {peer} can read what is written here.</p>}
        <ol class="messages" role="log" aria-live="polite" aria-relevant="additions" data-testid="messages">{rows(messages, me)}</ol>
      </div>
      {below && <button type="button" class="below" onClick={toEnd}><Down /> New messages</button>}
    </div>
  );
}

function Composer({ peer }) {
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const box = useRef(null);

  useEffect(() => {
    if (matchMedia('(min-width: 760px)').matches) box.current.focus();
  }, []);
  useLayoutEffect(() => {
    const b = box.current;
    b.style.height = 'auto';
    b.style.height = `${b.scrollHeight}px`;
  }, [text]);
  const submit = async (e) => {
    e.preventDefault();
    if (busy || !text.trim()) return;
    setBusy(true);
    setError(null);
    try {
      await send(peer, text);
      setText('');
    } catch (err) {
      setError(err);
    }
    setBusy(false);
    box.current?.focus();
  };
  const onKey = (e) => {
    if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) submit(e);
  };

  return (
    <form class="composer" onSubmit={submit}>
      <Problem error={error} onClose={() => setError(null)} />
      <div class="composer-row">
        <textarea ref={box} data-testid="composer" rows={1} value={text} readOnly={busy} onInput={(e) => setText(e.target.value)} onKeyDown={onKey}
          placeholder={`Write to ${peer}`} aria-label={`Message to ${peer}. Enter sends, Shift and Enter makes a new line.`} enterkeyhint="send" />
        <button class="primary round" data-testid="send" aria-label="Send" disabled={busy || !text.trim()}><Send /></button>
      </div>
    </form>
  );
}

export function Chat({ store }) {
  const { peer, chat, me, stream, connection } = store;
  const person = personOf(store, peer);
  const live = isLive(store);
  const online = live && Boolean(person?.online);
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), REFRESH_MS); // "2 min ago" grows
    return () => clearInterval(timer);
  }, []);
  return (
    <section class="chat" aria-label={`Conversation with ${peer}`}>
      <header class="bar">
        <button type="button" class="plain back" data-testid="back" aria-label="Back to the conversations" onClick={closeChat}><Back /></button>
        <Avatar name={peer} online={online} />
        <div class="who">
          <h2 class="clip">{peer}</h2>
          <p class={online ? 'presence on' : 'presence'} data-testid="presence" data-online={live ? String(online) : 'unknown'} role="status">{presence(person, live)}</p>
        </div>
      </header>
      {!live && <div class="only-phone"><Connection stream={stream} connection={connection} /></div>}
      <Problem error={chat.error} />
      <Messages key={peer} peer={peer} chat={chat} me={me} />
      <Composer key={`to-${peer}`} peer={peer} />
    </section>
  );
}

export const NoChat = () => (
  <section class="chat none"><p class="empty"><Lock /> Choose a conversation, or find somebody by name.</p></section>
);
