// Where things lie on the picture of the ring. An identifier's place is id / 2^160 of a turn, clockwise from the top.

const DIGITS = 12; // of 40: far finer than a pixel
const TURN = 2 * Math.PI;

export const turnOf = (id) => parseInt(id.slice(0, DIGITS), 16) / 16 ** DIGITS;
export const at = (turn, radius) => [radius * Math.sin(TURN * turn), -radius * Math.cos(TURN * turn)];
const xy = ([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`;

// The way from one node to its successor: along the ring; a full circle when it is its own.
export function arc(from, to, radius, gap) {
  const g = gap / (TURN * radius);
  let length = to - from;
  if (length <= 0) length += 1;
  const a = from + Math.min(g, length / 3);
  const b = from + length - Math.min(g, length / 3);
  const middle = (a + b) / 2; // two arcs, since one of a whole turn would vanish
  return `M${xy(at(a, radius))} A${radius} ${radius} 0 0 1 ${xy(at(middle, radius))} A${radius} ${radius} 0 0 1 ${xy(at(b, radius))}`;
}

// A pointer that passes over others goes through the inside.
export function chord(from, to, radius, gap) {
  const r = radius - gap;
  return `M${xy(at(from, r))} Q0 0 ${xy(at(to, r))}`;
}

// Radii for the nodes: all on the ring, but one that would cover the node before it is moved inwards. Its turn stays true.
export function radii(nodes, radius, size) {
  const room = (2 * size + 2) / (TURN * radius);
  const out = new Map();
  let last = -1;
  let inside = false;
  for (const n of nodes) {
    const turn = turnOf(n.id);
    inside = last >= 0 && turn - last < room && !inside;
    out.set(n.id, inside ? radius - 2 * size - 3 : radius);
    last = turn;
  }
  return out;
}

// Labels outside of the ring, moved apart where they would cover each other.
export function labels(nodes, radius, height, limit) {
  const places = nodes.map((n) => {
    const turn = turnOf(n.id);
    const [x, y] = at(turn, radius);
    return { id: n.id, turn, x, y };
  });
  for (const side of [places.filter((p) => p.x >= 0), places.filter((p) => p.x < 0)]) {
    side.sort((a, b) => a.y - b.y);
    for (let i = 1; i < side.length; i++) side[i].y = Math.max(side[i].y, side[i - 1].y + height);
    for (let i = side.length - 1; i >= 0; i--) {
      const most = i === side.length - 1 ? limit : side[i + 1].y - height;
      side[i].y = Math.min(side[i].y, most);
    }
  }
  return new Map(places.map((p) => [p.id, p]));
}
