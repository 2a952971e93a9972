#!/usr/bin/env bash
# The long way: the simulators with random seeds, or real servers under load that are killed and restarted, round after round, for so many
# minutes. Each failure is told with the line that does it again.
#   tests/soak.sh [MINUTES, default 30]
#   tests/soak.sh processes [MINUTES, default 30]
set -euo pipefail
what=simulators
if [ "${1:-}" = processes ]; then
  what=processes
  shift
fi
case "$#:${1:-30}" in
[01]:*[!0-9]* | [2-9]:*)
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
cd "$(dirname "$0")/.."
minutes=${1:-30}
cmake --preset release -Wno-dev >/dev/null
cmake --build --preset release -j "$(nproc)" -- --quiet
bin=build/release/bin
end=$((SECONDS + 60 * minutes))
rounds=0
failed=0

round() { # round COMMAND...: what the command says is shown when it fails
  local out
  if ! out=$("$@" 2>&1); then
    failed=$((failed + 1))
    printf 'FAILED: %s\n%s\n' "$*" "$(tail -20 <<<"$out")"
  fi
}

processes() { # ten minutes of load at most, with five servers and with nine; then restarts, three times around
  local seconds=$(((end - SECONDS) / 3))
  [ "$seconds" -lt 600 ] || seconds=600
  [ "$seconds" -gt 10 ] || seconds=10
  round env PEAL_BIN=$bin node tests/e2e/chaos.mjs --servers 5 --seconds "$seconds" --seed "$1"
  round env PEAL_BIN=$bin node tests/e2e/chaos.mjs --servers 9 --seconds "$seconds" --seed "$1"
  round env PEAL_BIN=$bin node tests/e2e/chaos.mjs --servers 5 --rolling 3 --seed "$1"
}

while [ "$SECONDS" -lt "$end" ]; do
  seed=$(($(od -An -N4 -tu4 /dev/urandom) % 2147483648))
  echo "round $((rounds + 1)), seed $seed"
  if [ "$what" = processes ]; then
    processes "$seed"
    rounds=$((rounds + 1))
    continue
  fi
  round $bin/peal-sim --scenario small --nodes 12 --seed "$seed" --seeds 300
  round $bin/peal-sim --scenario partition --nodes 40 --parts 2 --seed "$seed" --seeds 5
  round $bin/peal-sim --scenario partition --nodes 60 --parts 5 --seed "$seed"
  round $bin/peal-sim --scenario merge --nodes 48 --parts 3 --seed "$seed" --seeds 3
  round $bin/peal-sim --scenario mass-death --nodes 120 --fraction 0.5 --successors 16 --seed "$seed"
  round $bin/peal-sim --scenario churn --nodes 120 --rate 0.1 --stabilise 5 --seed "$seed"
  round $bin/peal-sim --scenario networks --nodes 40 --seed "$seed" --seeds 3
  round env PEAL_SIM_FROM="$seed" PEAL_SIM_SEEDS=40 $bin/test_ring --filter 'ring/chaos*'
  round env PEAL_SIM_FROM="$((seed % 1000000000))" PEAL_SIM_SEEDS=40 $bin/test_unite --filter 'unite/whoever*'
  round env PEAL_SIM_FROM="$((seed % 1000000000))" PEAL_SIM_SEEDS=60 $bin/test_roster --filter 'roster/chaos*'
  round env PEAL_SIM_FROM="$((seed % 1000000000))" PEAL_SIM_SEEDS=200 $bin/test_records --filter 'records/chaos*'
  rounds=$((rounds + 1))
done
echo "$rounds rounds, $failed failed"
[ "$failed" -eq 0 ]
