// Where things lie on the picture of the ring. An identifier's place is id / 2^160 of a turn, clockwise from the top.

const DIGITS = 12; // of 40: far finer than a pixel
const TURN = 2 * Math.PI;
const MIDDLE = 0.68; // of the radius: what the words in the middle take

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

// One hop of a lookup, through the inside: past the words in the middle, bent aside so that the way back is another one, and in a
// bow where the two lie close together. inside: how far inside of the ring each end lies. Returns the line, and its middle.
export function hop(from, to, radius, gap, inside = [0, 0]) {
  const [[ax, ay], [bx, by]] = [at(from, radius - inside[0]), at(to, radius - inside[1])];
  const [mx, my] = [(ax + bx) / 2, (ay + by) / 2];
  const length = Math.hypot(bx - ax, by - ay) || 1;
  const [sx, sy] = [(by - ay) / length, -(bx - ax) / length];
  const near = length < 4 * gap;
  const aside = !near ? 22 : sx * mx + sy * my > 0 ? -2 * gap : 2 * gap; // a bow is turned inwards
  let [x, y] = near ? [mx + sx * aside, my + sy * aside] : [mx * 0.72 + sx * aside, my * 0.72 + sy * aside];
  const free = radius * MIDDLE;
  const out = Math.hypot(x, y) || 1;
  if (out < free) [x, y] = [(x * free) / out, (y * free) / out];
  const [cx, cy] = [2 * x - mx, 2 * y - my];
  const ends = [[ax, ay], [bx, by]].map(([px, py]) => {
    const far = Math.hypot(cx - px, cy - py) || 1;
    const g = Math.min(gap, far / 2) / far;
    return [px + (cx - px) * g, py + (cy - py) * g];
  });
  const middle = [cx, cy].map((c, i) => (ends[0][i] + 2 * c + ends[1][i]) / 4);
  return { d: `M${xy(ends[0])} Q${xy([cx, cy])} ${xy(ends[1])}`, middle };
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
