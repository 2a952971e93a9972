#!/usr/bin/env bash
# The long way: the simulators with random seeds, round after round, for so many minutes. Each failure is told with the line that does it again.
#   tests/soak.sh [MINUTES, default 30]
set -euo pipefail
case "$#:${1:-30}" in
[01]:*[!0-9]* | [2-9]:*)
  sed -n '2,3s/^# \{0,1\}//p' "$0" >&2
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

while [ "$SECONDS" -lt "$end" ]; do
  seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
  echo "round $((rounds + 1)), seed $seed"
  round $bin/peal-sim --scenario small --nodes 12 --seed "$seed" --seeds 300
  round $bin/peal-sim --scenario partition --nodes 40 --parts 2 --seed "$seed" --seeds 5
  round $bin/peal-sim --scenario partition --nodes 60 --parts 5 --seed "$seed"
  round $bin/peal-sim --scenario merge --nodes 48 --parts 3 --seed "$seed" --seeds 3
  round $bin/peal-sim --scenario mass-death --nodes 120 --fraction 0.5 --successors 16 --seed "$seed"
  round $bin/peal-sim --scenario churn --nodes 120 --rate 0.1 --stabilise 5 --seed "$seed"
  round $bin/peal-sim --scenario networks --nodes 40 --seed "$seed" --seeds 3
  round env PEAL_SIM_FROM="$seed" PEAL_SIM_SEEDS=40 $bin/test_ring --filter 'ring/chaos*'
  round env PEAL_SIM_FROM="$((seed % 1000000000))" PEAL_SIM_SEEDS=40 $bin/test_unite --filter 'unite/whoever*'
  round env PEAL_SIM_FROM="$((seed % 1000000000))" PEAL_SIM_SEEDS=200 $bin/test_records --filter 'records/chaos*'
  rounds=$((rounds + 1))
done
echo "$rounds rounds, $failed failed"
[ "$failed" -eq 0 ]
