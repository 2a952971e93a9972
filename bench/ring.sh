#!/usr/bin/env bash
# The overlay's figures beside those known of others: one line each, from peal-sim's last line (virtual time, seeded), and from real processes.
#   bench/ring.sh [quick|full, default quick]     quick: some minutes; full: the largest sizes, all seeds: hours
# The references are named in docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/.."
size=${1:-quick}
case "$size" in
quick) paths="64 256 1024" onehop="1000" seeds=5 small=2000 large=2000 ;;
full) paths="64 256 1024 4096 16384" onehop="1000 4000" seeds=100 small=100000 large=10000 ;;
*) echo "usage: bench/ring.sh [quick|full]" >&2; exit 2 ;;
esac
bin=${PEAL_BIN:-}
if [ -z "$bin" ]; then
  cmake --preset release -Wno-dev >/dev/null
  cmake --build --preset release -- --quiet
  bin=$PWD/build/release/bin
fi

sim() { "$bin/peal-sim" --json "$@" | tail -1; }

# line TITLE REFERENCE JSON KEY...: the figures of the JSON object under these keys
line() {
  local title=$1 reference=$2 json=$3
  shift 3
  # shellcheck disable=SC2016
  node -e '
    const [title, reference, json, ...keys] = process.argv.slice(1), o = JSON.parse(json);
    const figures = keys.filter(k => k in o).map(k => `${k} ${o[k]}`).join(", ");
    console.log(`${title}: ${o.ok ? "" : "NOT OK, "}${figures} | reference: ${reference}`);' "$title" "$reference" "$json" "$@"
}

for n in $paths; do
  line "mean path, hints off, r = 8, N = $n" "theory, beside it" "$(sim --scenario paths --nodes "$n" --seed 1 --stabilise 20 --ping 20 --hints 128)" \
    hops_mean hops_theory hops_p01 hops_p99 lookups_wrong
done
for n in $onehop; do
  line "hints on, no churn, N = $n" "1.00-1.02 hops" "$(sim --scenario onehop --nodes "$n" --seed 1 --duration $((5 * n / 2)))" \
    hops_mean one_hop_share lookups_right lookups lookup_ms_p50 known_seconds known_bytes_per_node
done
for rate in 0.01 0.05 0.10; do
  line "churn, N = 500, $rate joins and silent deaths a second, stabilising every 30 s" \
    "MIT's simulator: failed 0 / 0.3 / 0.6 %, its one-hop variant 0 at 77-83 B/s" \
    "$(sim --scenario churn --nodes 500 --seed 1 --rate "$rate" --stabilise 30 --successors 16)" \
    failed_percent timeouts_per_lookup hops_mean bytes_per_node_second upkeep_bytes_per_node_second gossip_bytes_per_node_second find_bytes_per_node_second
done
line "half of 1,000 die at once, r = 16" "no lookup fails that has a live owner" \
  "$(sim --scenario mass-death --nodes 1000 --seed 1 --fraction 0.5 --successors 16)" \
  before_failed_percent before_hops_mean ideal_seconds after_failed_percent after_hops_mean
for n in 32 128 512; do
  for parts in 2 5; do
    line "parted into $parts and healed, N = $n, $seeds seeds" "never without hints; 1-2 rounds of trying known contacts" \
      "$(sim --scenario partition --nodes "$n" --parts "$parts" --seed 1 --seeds "$seeds")" seeds failed merged_seconds merged_seconds_most
  done
done
line "small rings, 1 to 12 nodes, random operations, $small seeds" "no violation" "$(sim --scenario small --nodes 12 --seed 1 --seeds "$small")" seeds failed operations
line "speed and memory, N = $large" "-" "$(sim --scenario steady --nodes "$large" --seed 1 --duration 20 --stabilise 30 --ping 30 --hints 128)" \
  node_seconds_per_second bytes_per_node resident_bytes_per_node
PEAL_BIN=$bin bench/processes.sh 64 20
