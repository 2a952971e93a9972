/*
 * The ring protocol in small: Zave's corrected Chord (P. Zave, "Reasoning about identifier spaces:
 * how to make Chord correct", IEEE TSE 2017) for N nodes and successor lists of R entries, in every
 * interleaving of join, stabilise, rectify and fail. It is about the ring's pointers only: no keys,
 * no data, no message formats. README.md says what is assumed, and what is covered.
 *
 * Set by -D:
 *   N, R          nodes that may ever be members (4 to 8); successors kept (2 or 3)
 *   NOTES         notifications a node may have under way: 1 (a stabilisation ends when it has
 *                 arrived), else any number
 *   HINTS         step 2 may take any member between a node and its successor as the candidate
 *   JOINS, FAILS  at most so many joins and failures; without them any number
 *   BLIND         a failure need not leave every member a live entry, only enough principals
 *   SETTLE        at any moment joins and failures stop for good; from then on only steps that
 *                 change something are taken
 *   ROUNDS        as SETTLE, but then in rounds, whatever they change: every member stabilises
 *                 once, and every notification arrives
 *   MUTANT        one of the mistakes at the end of this head
 *   ASSERT        which assertions are on (a sum; all by default)
 *   WITNESS       other assertions: that certain interesting states are never reached
 *   SHOW          a trail's steps are printed with all members after each: the first and the last
 *                 of succ, where X.0 is node X and X.1 artificial; saved N is none
 *   BREADTH_FIRST for a verifier that searches breadth-first
 */
#ifndef N
#define N 4
#endif
#ifndef R
#define R 2
#endif
#ifndef NOTES
#define NOTES 1
#endif
#ifndef ASSERT
#define ASSERT 31
#endif
#ifdef ROUNDS
#define SETTLE
#endif
#ifdef WITNESS
#undef ASSERT
#define ASSERT 0
#endif
#ifndef MUTANT
#define MUTANT 0
#endif

#define A_LIVE 1       /* OneLiveSuccessor */
#define A_PRINCIPALS 2 /* SufficientPrincipals */
#define A_ORDERED 4    /* extended successor lists are ordered and hold nothing twice */
#define A_RING 8       /* one ordered ring over best, principals on it, the others hang on it */
#define A_IDEAL 16     /* where nothing changes any more, the ring is ideal */

#define M_ADOPT 1     /* s.prdc becomes the list's head unasked, the rest follows with step 1 */
#define M_ANYONE 2    /* prdc is cleared whenever a notification comes, so anyone is accepted */
#define M_JOIN_ONE 3  /* a node joins with one successor, the other entries are artificial */
#define M_JOIN_SELF 4 /* a node joins with one successor, the other entries are itself */
#define M_SILENT 5    /* no notification when the candidate of step 2 is dead */
#define M_HEAD 6      /* step 2 sets the list's head only, the rest follows with step 1 */
#define M_SPLICE 7    /* an entry found dead is replaced by repeating the last one */
#define M_NO_WRAP 8   /* stabilise and rectify with intervals that do not wrap around zero */
#define M_NO_PING 9   /* rectify does not look whether prdc still lives */

/*
 * Identifiers are 0 … S-1 and wrap around. Node i has the identifier i*R; at those in between no
 * node ever is. An artificial entry is the last entry's identifier plus one. At most R-1 of them
 * follow a node's, so they never hit another node's: as good as certain in a space of 160 bits.
 */
#define S (N * R)
#define AT(i) ((i) * R)
#define NODE(p) ((p) / R)
#define NONE N

byte members;      /* bit i: node i is one */
byte succ[N * R];  /* identifiers; a node that is no member has all its fields 0 */
byte prdc[N];      /* nodes */
byte saved[N];     /* the candidate for step 2, else NONE */
byte notes[N];     /* bit m of notes[t]: t has told m, but it has not arrived; t may have failed */
bool settled;
#ifdef SETTLE
bool ideal;
#endif
#ifdef ROUNDS
byte done; /* bit i: node i has begun its stabilisation of this round */
#endif
#ifdef JOINS
byte joined;
#endif
#ifdef FAILS
byte failed;
#endif

/*
 * For use within one d_step only, and so no part of the state; but with such variables the verifier
 * refuses to search breadth-first.
 */
#ifdef BREADTH_FIRST
#define SCRATCH
#else
#define SCRATCH hidden
#endif
SCRATCH byte principals, ring, count, turn, i, k, s, p, far;
SCRATCH byte best[N];
SCRATCH byte fine;

#define SUCC(m, k) succ[(m) * R + (k)]
#define IS_MEMBER(m) ((members >> (m)) & 1)
#define LIVE(p) ((p) % R == 0 && IS_MEMBER(NODE(p)))
#define DISTANCE(a, b) (((b) + S - (a)) % S)
#define IN_BETWEEN(a, x, b) ((a) < (b) -> ((a) < (x) && (x) < (b)) : ((a) < (x) || (x) < (b)))
#if MUTANT == M_NO_WRAP
#define BETWEEN(a, x, b) ((a) < (x) && (x) < (b))
#else
#define BETWEEN(a, x, b) IN_BETWEEN(a, x, b)
#endif

/* Bit x: IN_BETWEEN(a, AT(x), b). */
#define UNDER(n) ((1 << (n)) - 1)
#define UP_TO(a) UNDER((a) / R + 1)
#define BEFORE(b) UNDER(((b) + R - 1) / R)
#define SKIPPED(a, b) ((a) < (b) -> (BEFORE(b) & ~UP_TO(a)) : (BEFORE(b) | (UNDER(N) & ~UP_TO(a))))

/* ---- what is asserted after every step ---- */

inline find_principals() {
  principals = members;
  count = 0;
  for (i : 0 .. N - 1) {
    if
    :: IS_MEMBER(i) ->
      principals = principals & ~SKIPPED(AT(i), SUCC(i, 0)) & ~SKIPPED(SUCC(i, 0), SUCC(i, 1));
#if R == 3
      principals = principals & ~SKIPPED(SUCC(i, 1), SUCC(i, 2))
#endif
    :: else
    fi
  }
  for (i : 0 .. N - 1) {
    count = count + ((principals >> i) & 1)
  }
}

/* best[i]: the first live entry, else NONE; fine: everybody has one. */
inline find_best() {
  fine = true;
  for (i : 0 .. N - 1) {
    best[i] = NONE;
    if
    :: IS_MEMBER(i) ->
      if
      :: LIVE(SUCC(i, 0)) -> best[i] = NODE(SUCC(i, 0))
      :: else ->
        if
        :: LIVE(SUCC(i, 1)) -> best[i] = NODE(SUCC(i, 1))
#if R == 3
        :: !LIVE(SUCC(i, 1)) && LIVE(SUCC(i, 2)) -> best[i] = NODE(SUCC(i, 2))
#endif
        :: else -> fine = false
        fi
      fi
    :: else
    fi
  }
}

/*
 * ring: the nodes that N steps over best lead to from anywhere, thus the cycles. Then once around
 * the last of them: count, the nodes on it; turn, the identifiers passed.
 */
inline find_ring() {
  ring = 0;
  for (i : 0 .. N - 1) {
    if
    :: IS_MEMBER(i) ->
      far = i;
      for (k : 1 .. N) {
        far = best[far]
      }
      ring = ring | (1 << far)
    :: else
    fi
  }
  turn = 0;
  count = 0;
  i = far;
  do
  :: turn = turn + DISTANCE(AT(i), AT(best[i]));
    count = count | (1 << i);
    i = best[i];
    if
    :: i == far -> break
    :: else
    fi
  od
}

#define ORDERED2(a, b, c) (0 < DISTANCE(a, b) && DISTANCE(a, b) < DISTANCE(a, c))
#if R == 2
#define ORDERED(m) ORDERED2(AT(m), SUCC(m, 0), SUCC(m, 1))
#else
#define ORDERED(m) \
  (ORDERED2(AT(m), SUCC(m, 0), SUCC(m, 1)) && ORDERED2(AT(m), SUCC(m, 1), SUCC(m, 2)))
#endif

/* fine: every list holds exactly the next R members, and every prdc is the member before. */
inline find_ideal() {
  fine = true;
  for (i : 0 .. N - 1) {
    if
    :: IS_MEMBER(i) ->
      p = i;
      for (k : 0 .. R - 1) {
        p = (p + 1) % N;
        do
        :: IS_MEMBER(p) -> break
        :: else -> p = (p + 1) % N
        od;
        fine = fine && SUCC(i, k) == AT(p);
        fine = fine && (k > 0 || prdc[p] == i)
      }
    :: else
    fi
  }
}

#ifdef SHOW
#define SAY(text, a, b) printf(text, a, b)
#define SHOW_MEMBERS \
  for (i : 0 .. N - 1) { \
    if \
    :: IS_MEMBER(i) -> \
      printf("[    %d: prdc %d, succ %d.%d %d.%d, saved %d, has told %x\n", i, prdc[i], \
        SUCC(i, 0) / R, SUCC(i, 0) % R, SUCC(i, R - 1) / R, SUCC(i, R - 1) % R, \
        saved[i], notes[i]) \
    :: else \
    fi \
  } \
  skip
#else
#define SAY(text, a, b) skip
#define SHOW_MEMBERS skip
#endif

SCRATCH byte one_live_successor, sufficient_principals, ordered_lists, one_ordered_ring;

inline check() {
  find_best();
  one_live_successor = fine;
  find_principals();
  sufficient_principals = count >= R + 1;
  ordered_lists = true;
  for (i : 0 .. N - 1) {
    ordered_lists = ordered_lists && (!IS_MEMBER(i) || ORDERED(i))
  }
  one_ordered_ring = true;
  if
  :: one_live_successor ->
    find_ring();
    one_ordered_ring = count == ring && turn == S && (principals & ~ring) == 0
  :: else
  fi;
#ifdef SETTLE
  find_ideal();
  ideal = fine;
#endif
#if ASSERT & A_LIVE
  assert(one_live_successor);
#endif
#if ASSERT & A_PRINCIPALS
  assert(sufficient_principals);
#endif
#if ASSERT & A_ORDERED
  assert(ordered_lists);
#endif
#if ASSERT & A_RING
  assert(one_ordered_ring);
#endif
#ifdef WITNESS
  witness();
#endif
  SHOW_MEMBERS
}

#ifdef WITNESS
#define SEEN_ONCE(event) \
  if \
  :: event && !seen_##event -> seen_##event = true; assert(!event) \
  :: else \
  fi
hidden byte not_principal, few_principals, appendage, best_is_later, dead_entry, artificial_entry,
  dead_prdc, far_prdc, dead_candidate, dead_sender;
hidden byte seen_not_principal, seen_few_principals, seen_appendage, seen_best_is_later,
  seen_dead_entry, seen_artificial_entry, seen_dead_prdc, seen_far_prdc, seen_dead_candidate,
  seen_dead_sender;

/*
 * What the assertions are about does occur: a search that goes on after errors (-c0) must find each
 * of these wrong. What is hidden is not undone when the search goes back, so each is found once.
 */
inline witness() {
  not_principal = members != principals;
  appendage = members != ring;
  find_principals();
  few_principals = not_principal && count == R + 1;
  best_is_later = false;
  dead_entry = false;
  artificial_entry = false;
  dead_prdc = false;
  far_prdc = false;
  dead_candidate = false;
  dead_sender = false;
  for (i : 0 .. N - 1) {
    dead_sender = dead_sender || (!IS_MEMBER(i) && notes[i] != 0);
    if
    :: IS_MEMBER(i) ->
      best_is_later = best_is_later || !LIVE(SUCC(i, 0));
      for (k : 0 .. R - 1) {
        dead_entry = dead_entry || (SUCC(i, k) % R == 0 && !LIVE(SUCC(i, k)));
        artificial_entry = artificial_entry || SUCC(i, k) % R != 0
      }
      dead_prdc = dead_prdc || !IS_MEMBER(prdc[i]);
      far_prdc = far_prdc || (IS_MEMBER(prdc[i]) && (members & SKIPPED(AT(prdc[i]), AT(i))) != 0);
      dead_candidate = dead_candidate || (saved[i] != NONE && !IS_MEMBER(saved[i]))
    :: else
    fi
  }
  SEEN_ONCE(not_principal);
  SEEN_ONCE(few_principals);
  SEEN_ONCE(appendage);
  SEEN_ONCE(best_is_later);
  SEEN_ONCE(dead_entry);
  SEEN_ONCE(artificial_entry);
  SEEN_ONCE(dead_prdc);
  SEEN_ONCE(far_prdc);
  SEEN_ONCE(dead_candidate);
  SEEN_ONCE(dead_sender)
}
#endif

/* ---- the operations; each inline runs within one d_step ---- */

/* What a rectification by n at m would change now. */
#if MUTANT == M_ANYONE
#define RECTIFIES(m, n) (prdc[m] != n)
#elif MUTANT == M_NO_PING
#define RECTIFIES(m, n) BETWEEN(AT(prdc[m]), AT(n), AT(m))
#else
#define RECTIFIES(m, n) (BETWEEN(AT(prdc[m]), AT(n), AT(m)) || !IS_MEMBER(prdc[m]))
#endif

/*
 * Once settled, a notification that would change nothing is not sent, so that what goes on for ever
 * is a run in which something changes for ever. README.md says why nothing is lost by that.
 */
#ifdef ROUNDS
#define ONLY_CHANGES false
#define BEGIN(t) done = done | ((settled -> 1 : 0) << t)
#define HAS_TURN(t) (!((done >> t) & 1))
#else
#define ONLY_CHANGES settled
#define BEGIN(t) skip
#define HAS_TURN(t) true
#endif

inline notify(t, at) {
  if
  :: LIVE(at) && (!ONLY_CHANGES || RECTIFIES(NODE(at), t)) -> notes[t] = notes[t] | (1 << NODE(at))
  :: else
  fi
}

/* The list of t becomes h and the first R-1 of h's own. */
inline adopt(t, h) {
  SUCC(t, 0) = AT(h);
#if R == 3
  SUCC(t, 2) = SUCC(h, 1);
#endif
  SUCC(t, 1) = SUCC(h, 0)
}

inline join(j, m) {
  SAY("[%d joins through %d]\n", j, m);
  members = members | (1 << j);
#if MUTANT == M_JOIN_ONE
  SUCC(j, 0) = SUCC(m, 0);
  for (k : 1 .. R - 1) {
    SUCC(j, k) = (SUCC(m, 0) + k) % S
  }
#elif MUTANT == M_JOIN_SELF
  SUCC(j, 0) = SUCC(m, 0);
  for (k : 1 .. R - 1) {
    SUCC(j, k) = AT(j)
  }
#else
  for (k : 0 .. R - 1) {
    SUCC(j, k) = SUCC(m, k)
  }
#endif
  prdc[j] = m;
  saved[j] = NONE;
#ifdef JOINS
  joined++;
#endif
  check()
}

/* Step 1, the successor does not answer. */
inline drop_first(t) {
  SAY("[%d drops its first entry, node %d or artificial]\n", t, NODE(SUCC(t, 0)));
  BEGIN(t);
  for (k : 1 .. R - 1) {
    SUCC(t, k - 1) = SUCC(t, k)
  }
#if MUTANT != M_SPLICE
  SUCC(t, R - 1) = (SUCC(t, R - 1) + 1) % S;
#endif
  notify(t, SUCC(t, 0));
  check()
}

/* Step 1, the successor answers. */
inline stabilise_1(t) {
  SAY("[%d: step 1 with %d]\n", t, NODE(SUCC(t, 0)));
  BEGIN(t);
  s = NODE(SUCC(t, 0));
  adopt(t, s);
  if
  :: BETWEEN(AT(t), AT(prdc[s]), AT(s)) ->
#if MUTANT == M_ADOPT
    SUCC(t, 0) = AT(prdc[s]);
    notify(t, SUCC(t, 0))
#else
    saved[t] = prdc[s]
#endif
  :: else -> notify(t, AT(s))
  fi;
  check()
}

/* Step 2, the candidate answers. */
inline stabilise_2(t) {
  SAY("[%d: step 2 with %d]\n", t, saved[t]);
  s = saved[t];
  saved[t] = NONE;
#if MUTANT == M_HEAD
  SUCC(t, 0) = AT(s);
#else
  adopt(t, s);
#endif
  notify(t, AT(s));
  check()
}

/* Step 2, the candidate does not answer. */
inline drop_candidate(t) {
  SAY("[%d: step 2, candidate %d is dead]\n", t, saved[t]);
  saved[t] = NONE;
#if MUTANT != M_SILENT
  notify(t, SUCC(t, 0));
#endif
  check()
}

inline rectify(m, n) {
  SAY("[%d rectifies, told by %d]\n", m, n);
  notes[n] = notes[n] & ~(1 << m);
  if
  :: RECTIFIES(m, n) -> prdc[m] = n
  :: else
  fi;
  check()
}

/* What f has told others arrives nevertheless (in_flight 255) or not (0). */
inline fail(f, in_flight) {
  members = members & ~(1 << f);
  find_principals();
#ifdef BLIND
  fine = true;
#else
  find_best();
#endif
  if
  :: fine && count >= R + 1 ->
    for (k : 0 .. R - 1) {
      SUCC(f, k) = 0
    }
    SAY("[%d fails, %d principals are left]\n", f, count);
    prdc[f] = 0;
    saved[f] = 0;
    notes[f] = notes[f] & in_flight;
#ifdef FAILS
    failed++;
#endif
    check()
  :: else -> members = members | (1 << f)
  fi
}

/* ---- when each may be done ---- */

#define FIRST(t) NODE(SUCC(t, 0)) /* where succ[0] is live */
#define TELLING(t) ((notes[t] >> FIRST(t)) & 1)
#define HAS_CANDIDATE(t) BETWEEN(AT(t), AT(prdc[FIRST(t)]), SUCC(t, 0))
#if R == 2
#define SAME_LIST(t) (SUCC(t, 1) == SUCC(FIRST(t), 0))
#else
#define SAME_LIST(t) (SUCC(t, 1) == SUCC(FIRST(t), 0) && SUCC(t, 2) == SUCC(FIRST(t), 1))
#endif

#if NOTES == 1
#define MAY_STABILISE(t) (IS_MEMBER(t) && HAS_TURN(t) && saved[t] == NONE && notes[t] == 0)
#else
#define MAY_STABILISE(t) (IS_MEMBER(t) && HAS_TURN(t) && saved[t] == NONE)
#endif

/* Whether stabilising with a live successor, both steps taken together, changes anything. */
#if MUTANT == M_SILENT
#define WORTH_STABILISING(t) (!SAME_LIST(t) || \
  (HAS_CANDIDATE(t) -> IS_MEMBER(prdc[FIRST(t)]) : (RECTIFIES(FIRST(t), t) && !TELLING(t))))
#else
#define WORTH_STABILISING(t) (!SAME_LIST(t) || (HAS_CANDIDATE(t) && IS_MEMBER(prdc[FIRST(t)])) || \
  (RECTIFIES(FIRST(t), t) && !TELLING(t)))
#endif

#ifdef JOINS
#define ANOTHER_JOIN (!settled && joined < JOINS)
#else
#define ANOTHER_JOIN (!settled)
#endif
#ifdef FAILS
#define ANOTHER_FAIL (!settled && failed < FAILS)
#else
#define ANOTHER_FAIL (!settled)
#endif
#define MAY_JOIN(j, m) \
  (ANOTHER_JOIN && !IS_MEMBER(j) && IS_MEMBER(m) && IN_BETWEEN(AT(m), AT(j), SUCC(m, 0)))
#define MAY_FAIL(f) (ANOTHER_FAIL && IS_MEMBER(f))
#define MAY_TAKE(t, q) \
  (IS_MEMBER(t) && saved[t] == NONE && IS_MEMBER(q) && BETWEEN(AT(t), AT(q), SUCC(t, 0)))
#define MAY_RECTIFY(m, n) ((notes[n] >> m) & 1)

/* One option for each other node. */
#define OPTIONS4(option) option(0) option(1) option(2) option(3)
#if N == 4
#define OPTIONS(option) OPTIONS4(option)
#elif N == 5
#define OPTIONS(option) OPTIONS4(option) option(4)
#elif N == 6
#define OPTIONS(option) OPTIONS4(option) option(4) option(5)
#elif N == 7
#define OPTIONS(option) OPTIONS4(option) option(4) option(5) option(6)
#else
#define OPTIONS(option) OPTIONS4(option) option(4) option(5) option(6) option(7)
#endif

#define JOIN_BY(m) :: d_step { MAY_JOIN(me, m) -> join(me, m) }
#define RECTIFY_BY(n) :: d_step { IS_MEMBER(me) && MAY_RECTIFY(me, n) -> rectify(me, n) }
#define LOSE_FROM(n) \
  :: d_step { !IS_MEMBER(me) && MAY_RECTIFY(me, n) -> notes[n] = notes[n] & ~(1 << me) }
#define AND_QUIET(t) && notes[t] == 0 && (!IS_MEMBER(t) || saved[t] == NONE)
#define TAKE_HINT(q) :: d_step { MAY_TAKE(me, q) -> saved[me] = q }

proctype node(byte me) {
end:
  do
  OPTIONS(JOIN_BY)
  OPTIONS(RECTIFY_BY)
  OPTIONS(LOSE_FROM)
  :: d_step { MAY_STABILISE(me) && !LIVE(SUCC(me, 0)) -> drop_first(me) }
  :: d_step {
    MAY_STABILISE(me) && LIVE(SUCC(me, 0)) && (!ONLY_CHANGES || WORTH_STABILISING(me)) ->
    stabilise_1(me)
  }
  :: d_step { IS_MEMBER(me) && saved[me] != NONE && IS_MEMBER(saved[me]) -> stabilise_2(me) }
  :: d_step { IS_MEMBER(me) && saved[me] != NONE && !IS_MEMBER(saved[me]) -> drop_candidate(me) }
#ifdef HINTS
  OPTIONS(TAKE_HINT)
#endif
  :: d_step { MAY_FAIL(me) -> fail(me, 255) }
  :: d_step { MAY_FAIL(me) && notes[me] != 0 -> fail(me, 0) }
  od
}

/* An ideal ring of the nodes in members, at least R+1. */
inline start() {
  for (i : 0 .. S - 1) {
    for (k : 0 .. S - 1) {
      for (p : 0 .. N - 1) {
        assert(((SKIPPED(i, k) >> p) & 1) == IN_BETWEEN(i, AT(p), k))
      }
    }
  }
  for (i : 0 .. N - 1) {
    if
    :: IS_MEMBER(i) ->
      saved[i] = NONE;
      p = i;
      for (k : 0 .. R - 1) {
        p = (p + 1) % N;
        do
        :: IS_MEMBER(p) -> break
        :: else -> p = (p + 1) % N
        od;
        SUCC(i, k) = AT(p);
        if
        :: k == 0 -> prdc[p] = i
        :: else
        fi
      }
    :: else
    fi
  }
  find_ideal();
  assert(fine);
  check()
}

init {
  byte n, left_out;
  atomic {
    do
    :: n < N -> members = members | (1 << n); n++
    :: n < N && left_out < N - R - 1 -> left_out++; n++
    :: n == N -> break
    od;
    n = 0;
    left_out = 0;
    d_step { start() };
    do
    :: n < N -> run node(n); n++
    :: else -> n = 0; break
    od
  }
#ifdef SETTLE
  settled = true;
#ifdef ROUNDS
end:
  do
  :: d_step { done == members OPTIONS(AND_QUIET) -> done = 0 }
  od;
#else
  /* Nothing changes any more. */
  timeout ->
#if ASSERT & A_IDEAL
  assert(ideal);
#endif
#endif
#endif
}

#ifdef SETTLE
/* Once settled, the ring becomes ideal for good: it is an error if ever again it is not. */
never {
before:
  if
  :: !settled -> goto before
  :: settled && ideal -> goto good
  :: settled && !ideal -> goto accept_bad
  fi;
good:
  if
  :: ideal -> goto good
  :: !ideal -> goto accept_bad
  fi;
accept_bad:
  if
  :: ideal -> goto good
  :: !ideal -> goto accept_bad
  fi
}
#endif
