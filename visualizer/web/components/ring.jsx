// The picture of the ring.

import { useEffect, useState } from 'preact/hooks';
import { arc, at, chord, hop, labels, radii, turnOf } from '../geometry.js';
import { hopsText, select, short, stateOf, verdict } from '../store.js';

const RADIUS = 140;
const LABELS_MAX = 28; // beyond, only the chosen node has one
const NARROW = '(max-width: 619px)';

function useNarrow() {
  const [narrow, setNarrow] = useState(matchMedia(NARROW).matches);
  useEffect(() => {
    const q = matchMedia(NARROW);
    const change = () => setNarrow(q.matches);
    q.addEventListener('change', change);
    return () => q.removeEventListener('change', change);
  }, []);
  return narrow;
}

function Arrow({ node, nodes, size }) {
  const to = nodes.find((n) => n.id === node.successor);
  const live = nodes.filter((n) => stateOf(n) !== 'down');
  if (!to || stateOf(node) === 'down') return null;
  const next = live[(live.findIndex((n) => n.id === node.id) + 1) % live.length];
  const direct = next && next.id === to.id;
  const gap = size + 5;
  const d = direct ? arc(turnOf(node.id), turnOf(to.id), RADIUS, gap) : chord(turnOf(node.id), turnOf(to.id), RADIUS, gap);
  return <path key={`${node.id}-${to.id}`} class={direct ? 'arrow' : 'arrow astray'} d={d} pathLength={100} marker-end={direct ? 'url(#head)' : 'url(#head-astray)'} />;
}

const Crown = ({ size }) => (
  <path class="crown" d="M-9 4 L-10.5 -5 L-5 -1 L0 -8 L5 -1 L10.5 -5 L9 4 Z" transform={`translate(0 ${-size - 6}) scale(0.85)`} />
);

function Node({ node, radius, size, chosen, coordinator }) {
  const [x, y] = at(turnOf(node.id), radius);
  const state = stateOf(node);
  return (
    <g class={`node ${state} ${chosen ? 'chosen' : ''}`} transform={`translate(${x.toFixed(1)} ${y.toFixed(1)})`} data-testid="node" data-id={node.id}
      data-state={node.state} data-coordinator={String(coordinator)} onClick={() => select(node.id)}>
      <title>{`${node.address}, ${state}${coordinator ? ', coordinator' : ''}`}</title>
      <circle key={`${node.state}-${node.incarnation}`} class="ripple" r={size} />
      <circle class="hit" r={Math.max(size, 16)} />
      <circle class="disc" r={size} />
      {state === 'down' && <path class="cross" d="M-4 -4 4 4 M4 -4 -4 4" />}
      {coordinator && <Crown size={size} />}
    </g>
  );
}

function Label({ node, place, narrow }) {
  const [x, y] = at(place.turn, RADIUS + 12);
  const side = Math.abs(place.x) < 22 ? 'middle' : place.x > 0 ? 'start' : 'end';
  const moved = Math.hypot(place.x - at(place.turn, RADIUS + 28)[0], place.y - at(place.turn, RADIUS + 28)[1]) > 6;
  const lift = side !== 'middle' ? 0 : place.y < 0 ? -10 : 8;
  return (
    <g class={`label ${stateOf(node)}`} aria-hidden="true">
      {moved && <path class="leader" d={`M${x.toFixed(1)} ${y.toFixed(1)} L${(place.x * 0.98).toFixed(1)} ${place.y.toFixed(1)}`} />}
      <text x={place.x.toFixed(1)} y={(place.y + lift).toFixed(1)} text-anchor={side}>
        <tspan class="short" dy={narrow ? '0.35em' : '-0.1em'}>{short(node.id)}</tspan>
        {!narrow && <tspan class="address" x={place.x.toFixed(1)} dy="1.25em">{node.address}</tspan>}
      </text>
    </g>
  );
}

// A lookup: the stretch from the key's place to the server that keeps it, and the way from server to server.
function Way({ way, radius, size, past }) {
  const inside = (id) => RADIUS - (radius.get(id) ?? RADIUS);
  const hops = way.path.slice(1).map((id, i) => hop(turnOf(way.path[i]), turnOf(id), RADIUS, size + 5, [inside(way.path[i]), inside(id)]));
  const [ox, oy] = at(turnOf(way.owner), RADIUS - inside(way.owner));
  const [sx, sy] = at(turnOf(way.path[0]), RADIUS - inside(way.path[0]));
  return (
    <g class={past ? 'way past' : 'way'} data-testid="way" data-path={way.path.join(' ')} data-past={String(Boolean(past))} aria-hidden="true">
      <path class="stretch" d={arc(turnOf(way.key), turnOf(way.owner), RADIUS, 0)} />
      {way.path.filter((id) => !radius.has(id)).map((id) => {
        const [x, y] = at(turnOf(id), RADIUS);
        return <circle key={id} class="beyond" cx={x.toFixed(1)} cy={y.toFixed(1)} r={4} />;
      })}
      <circle class="start" cx={sx.toFixed(1)} cy={sy.toFixed(1)} r={size + 4} />
      <circle class="owner" cx={ox.toFixed(1)} cy={oy.toFixed(1)} r={size + 4} style={{ '--at': hops.length }} />
      {hops.map(({ d }, i) => <path key={i} class="hop" d={d} pathLength={100} marker-end="url(#head-way)" data-testid="hop" style={{ '--at': i }} />)}
      {hops.length > 1 && hops.map(({ middle: [x, y] }, i) => (
        <g key={i} class="number" transform={`translate(${x.toFixed(1)} ${y.toFixed(1)})`}><circle r={8} /><text dy="0.35em">{i + 1}</text></g>
      ))}
    </g>
  );
}

// On top of the servers, since it may lie right beside one.
function KeyMark({ id }) {
  const [x, y] = at(turnOf(id), RADIUS);
  return (
    <g class="key" transform={`translate(${x.toFixed(1)} ${y.toFixed(1)})`} data-testid="key" data-key={id} aria-hidden="true">
      <title>{`the place of the key ${short(id)}`}</title>
      <path d="M0 -7 7 0 0 7 -7 0Z" />
    </g>
  );
}

export function Ring({ ring, selected, stale, way, past }) {
  const narrow = useNarrow();
  const { nodes } = ring;
  const size = Math.max(3, Math.min(12, 330 / Math.max(nodes.length, 1)));
  const crowded = nodes.length > LABELS_MAX;
  const labelled = crowded ? nodes.filter((n) => n.id === selected) : nodes;
  const half = narrow ? [215, 186] : [284, 208];
  const places = labels(labelled, RADIUS + 28, narrow ? 20 : 34, half[1] - 18);
  const radius = radii(nodes, RADIUS, size);
  const { kind, word, up } = verdict(ring);
  const found = way ? ` The way to the key ${short(way.key)}, ${hopsText(way.hops)}, is drawn.` : '';
  const summary = `${nodes.length} servers on the ring, ${up} of them up; the table below lists them.${found}`;
  return (
    <svg class={stale ? 'ring stale' : 'ring'} viewBox={`${-half[0]} ${-half[1]} ${2 * half[0]} ${2 * half[1]}`} role="img" aria-label={summary}>
      <defs>
        <marker id="head" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse" markerUnits="userSpaceOnUse"><path class="head" d="M0 0.5 10 5 0 9.5z" /></marker>
        <marker id="head-astray" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse" markerUnits="userSpaceOnUse"><path class="head astray" d="M0 0.5 10 5 0 9.5z" /></marker>
        <marker id="head-way" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="10" markerHeight="10" orient="auto-start-reverse" markerUnits="userSpaceOnUse"><path class="head way-head" d="M0 0.5 10 5 0 9.5z" /></marker>
      </defs>
      <circle class="track" r={RADIUS} />
      <path class="zero" d={`M0 ${-RADIUS - 5} V${-RADIUS + 5}`} />
      {nodes.map((n) => <Arrow key={`arrow-${n.id}`} node={n} nodes={nodes} size={size} />)}
      {labelled.map((n) => <Label key={`label-${n.id}`} node={n} place={places.get(n.id)} narrow={narrow} />)}
      {past && <Way key={past.serial} way={past} radius={radius} size={size} past />}
      {way && <Way key={way.serial} way={way} radius={radius} size={size} />}
      {nodes.map((n) => <Node key={n.id} node={n} radius={radius.get(n.id)} size={size} chosen={n.id === selected} coordinator={n.id === ring.coordinator} />)}
      {way && <KeyMark id={way.key} />}
      <g class={`middle ${kind}`} data-testid="middle" aria-hidden="true">
        <text y="-4" class="count">{up}<tspan class="of"> / {nodes.length}</tspan></text>
        <text y="22" class="word">{word}</text>
      </g>
    </svg>
  );
}
