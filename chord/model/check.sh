#!/usr/bin/env bash
# Checks the model of the ring protocol with Spin: the protocol itself must come out without an
# error, after a full search in which every kind of step was taken; each naive variant must come
# out with the error that is expected of it.
#
#   check.sh                what the test runs: about a minute of one core, 310 MB of memory
#   check.sh --large        larger rings as well, 4.3 GB of memory
#   check.sh --trail NAME   only the naive variant NAME, and the steps that lead it astray
#
# The models' sizes, and what is and is not covered, are in README.md beside this script.
set -euo pipefail
size=test trail=""
case "$#:${1:-}" in
0:) ;;
1:--large) size=large ;;
2:--trail) trail=$2 ;;
*)
  sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
  ;;
esac
for tool in spin cc; do
  command -v "$tool" >/dev/null || { echo "check.sh: $tool is not installed" >&2; exit 2; }
done
model=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/chord.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
failures=0
memory=2500 depth=2000000 hash=24 # the verifier's limits: MB, steps, 2^hash slots
if [ "$size" = large ]; then memory=12000 depth=40000000 hash=27; fi

fail() {
  printf '%-22s FAILED: %s\n' "$name" "$1"
  sed 's/^/    /' out
  failures=$((failures + 1))
}

# search NAME "-D for the model" "-D for the verifier" "options of the verifier"
# Leaves what it says in out.
search() {
  name=$1
  rm -f pan* ./*.trail
  # shellcheck disable=SC2086
  spin $2 -a "$model" >out 2>&1 || {
    fail "Spin refuses the model"
    return 1
  }
  # shellcheck disable=SC2086
  cc -O1 -w -DNOFAIR -DMEMLIM="$memory" $3 -o pan pan.c >out 2>&1 || {
    fail "the verifier does not compile"
    return 1
  }
  # shellcheck disable=SC2086
  ./pan -m"$depth" -w"$hash" $4 >out 2>&1 || true
}

# That a search was complete is said only by not saying that it was cut short.
complete() {
  if grep -Eq 'depth too small|reached -DMEMLIM|out of memory|not completed|nterrupted' out; then
    fail "the search was cut short"
  elif ! grep -q '^Full statespace search for:' out || ! grep -q 'assertion violations.*+' out; then
    fail "not a full search"
  else
    return 0
  fi
  return 1
}

numbers() {
  awk '/ states, stored/ { states = $1 } /transitions \(=/ { steps = $1 }
    /depth reached/ { depth = $6 + 0 } /total actual memory/ { memory = $1 } /elapsed/ { time = $4 }
    END { printf "%d states, %d steps, depth %d, %d MB, %s s",
      states, steps, depth, memory, time }' out
}

# holds NAME "-D for the model" [safety]: no error. Without "safety" also: every run in which joins
# and failures stop ends in an ideal ring.
holds() {
  if [ "${3:-}" = safety ]; then
    search "$1" "$2" -DSAFETY "" || return 0
  else
    search "$1" "$2" -DNOREDUCE -a || return 0
    if ! grep -q 'acceptance *cycles.*+' out; then
      fail "not searched for cycles"
      return 0
    fi
  fi
  if ! grep -q 'errors: 0$' out; then
    fail "the protocol has an error"
  elif ! complete; then
    return 0
  elif sed -n '/^unreached in/,$p' out | grep 'state [0-9]*,' | grep -vq '"-end-"$'; then
    fail "some step was never taken"
  else
    printf '%-22s holds: %s\n' "$name" "$(numbers)"
  fi
}

# occurs NAME "-D for the model" EVENT...: every event is reached somewhere, so that what is
# asserted of such states is not idle.
occurs() {
  local event options=$2
  search "$1" "$options -DWITNESS" -DSAFETY -c0 || return 0
  complete || return 0
  shift 2
  for event in "$@"; do
    if ! grep -q "assertion violated *!($event) " out; then
      fail "$event never occurs"
      return 0
    fi
  done
  printf '%-22s occur: %s\n' "$name" "$*"
}

# breaks NAME MUTANT "-D for the model" KIND "EXPECTED": the error must be the one expected.
# KIND: breadth (the shortest trail), depth, cycles.
breaks() {
  local flags="-DMUTANT=$2 $3" expected=$5
  if [ -n "$trail" ]; then
    if [ "$trail" != "$1" ]; then return 0; fi
    flags="$flags -DSHOW"
  fi
  case $4 in
  breadth)
    flags="$flags -DBREADTH_FIRST"
    search "$1" "$flags" "-DSAFETY -DBFS" "" || return 0
    ;;
  depth) search "$1" "$flags" -DSAFETY "" || return 0 ;;
  cycles) search "$1" "$flags" -DNOREDUCE -a || return 0 ;;
  esac
  if ! grep -q 'errors: 1$' out; then
    fail "the search did not find the mistake"
  elif ! grep -Eq "^pan:1: $expected" out; then
    fail "another error than expected ($expected)"
  elif [ ! -s chord.pml.trail ]; then
    fail "no trail was written"
  else
    printf '%-22s breaks, as it must: %s\n' "$name" "$(sed -n 's/^pan:1: //p' out)"
    if [ -n "$trail" ]; then
      # shellcheck disable=SC2086
      spin $flags -k chord.pml.trail "$model" | sed -n 's/^ *\(\[.*\|.*START OF CYCLE.*\)$/  \1/p'
    fi
  fi
}

if [ -z "$trail" ]; then
  occurs states "-DN=4" not_principal few_principals appendage best_is_later dead_entry \
    artificial_entry dead_prdc far_prdc dead_candidate dead_sender
  holds r2-n4 "-DN=4 -DSETTLE"
  holds r2-n4-rounds "-DN=4 -DROUNDS"
  holds r2-n4-hints "-DN=4 -DHINTS" safety
  holds r2-n4-notes "-DN=4 -DNOTES=9" safety
  holds r2-n5-changes4 "-DN=5 -DJOINS=2 -DFAILS=2" safety
  holds r2-n5-settle "-DN=5 -DJOINS=2 -DFAILS=1 -DSETTLE"
  holds r2-n5-blind1 "-DN=5 -DFAILS=1 -DBLIND -DSETTLE"
  holds r3-n5-blind2 "-DN=5 -DR=3 -DFAILS=2 -DBLIND -DSETTLE"
  holds r3-n6-changes2 "-DN=6 -DR=3 -DJOINS=1 -DFAILS=1 -DSETTLE"
fi
if [ "$size" = large ]; then
  holds r2-n4-hints-settle "-DN=4 -DHINTS -DNOTES=9 -DSETTLE"
  holds r2-n5-changes6 "-DN=5 -DJOINS=3 -DFAILS=3 -DSETTLE"
  holds r2-n5-rounds "-DN=5 -DJOINS=2 -DFAILS=1 -DROUNDS"
  holds r2-n5-hints "-DN=5 -DJOINS=2 -DFAILS=2 -DHINTS" safety
  holds r2-n6-changes3 "-DN=6 -DJOINS=2 -DFAILS=1" safety
  holds r3-n5 "-DN=5 -DR=3" safety
fi
# The first few with one assertion each, so that each is seen to fail by itself.
breaks adopt-unasked 1 "-DN=4 -DASSERT=2" breadth 'assertion violated sufficient_principals '
breaks adopt-unasked-ring 1 "-DN=4 -DASSERT=8" depth 'assertion violated one_ordered_ring '
breaks join-with-one 3 "-DN=5 -DFAILS=1 -DBLIND -DASSERT=1" breadth \
  'assertion violated one_live_successor '
breaks join-with-itself 4 "-DN=4 -DASSERT=4" breadth 'assertion violated ordered_lists '
breaks silent-on-dead 5 "-DN=4 -DSETTLE -DASSERT=16" breadth 'assertion violated ideal '
breaks accept-anyone 2 "-DN=4 -DROUNDS" cycles 'acceptance cycle '
breaks head-before-list 6 "-DN=4" breadth 'assertion violated sufficient_principals '
breaks splice 7 "-DN=4" breadth 'assertion violated sufficient_principals '
breaks no-wrap 8 "-DN=4 -DSETTLE" breadth 'assertion violated ideal '
breaks no-ping 9 "-DN=4 -DSETTLE" breadth 'assertion violated ideal '

if [ -n "$trail" ] && [ -z "${name:-}" ]; then
  echo "check.sh: there is no naive variant '$trail'" >&2
  exit 2
fi
if [ "$failures" != 0 ]; then
  printf '%d checks failed\n' "$failures"
  exit 1
fi
