#!/usr/bin/env bash
# Peal's benchmarks, one command: builds the release preset, starts its own servers on loopback, and prints one JSON object per figure.
#   bench/run.sh [SECONDS per load, default 10]
# The server of the one-core figure has one processor to itself (taskset), the load generator another.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
bin=${PEAL_BIN:-}
if [ -z "$bin" ]; then
  cmake --preset release -Wno-dev >/dev/null
  cmake --build --preset release -- --quiet
  bin=$PWD/build/release/bin
fi
work=$(mktemp -d -t peal-bench.XXXXXX)
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill -KILL "$p" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

wait_ready() { # wait_ready NAME: prints the address
  local end=$((SECONDS + 30))
  until grep -q '^ready' "$work/$1.out" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || { cat "$work/$1.log" >&2; exit 1; }
    read -r -t 0.02 <> <(:) || true
  done
  sed -n 's/^ready.*listen=//p' "$work/$1.out"
}

start() { # start NAME CPU ARGS...
  local name=$1 cpu=$2
  shift 2
  mkdir -p "$work/$name"
  taskset -c "$cpu" "$bin/peald" --data "$work/$name" --ring-key-file "$work/ring.key" --bcrypt-cost 4 "$@" \
    >"$work/$name.out" 2>"$work/$name.log" &
  pids+=($!)
}

stop_all() {
  for p in "${pids[@]}"; do
    kill -TERM "$p" 2>/dev/null || true
    wait "$p" 2>/dev/null || true
  done
  pids=()
}

five() { # five NAME: five servers, whole; sets address and servers
  local group=239.80.69.76:$((RANDOM % 20000 + 20000)) begin s i
  begin=$(date +%s%N)
  servers=()
  for i in 1 2 3 4 5; do start "$1$i" 0,1 --listen "127.0.0.1$i:0" --multicast "$group"; done
  for i in 1 2 3 4 5; do
    address=$(wait_ready "$1$i")
    servers+=(--server "$address")
  done
  until s=$("$bin/peal" --profile "$work/p" --server "$address" --json ring status 2>/dev/null) &&
    [[ $s == *'"whole":true'* || $s == *'"whole": true'* ]] && [ "$(grep -o '"state": *"up"' <<<"$s" | wc -l)" = 5 ]; do :; done
  echo "{\"ring_whole_ms\":$((($(date +%s%N) - begin) / 1000000))}"
}

rss() { awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$1/status"; }
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$1/stat"; }

sed -n 's/^model name[^:]*: /machine: /p' /proc/cpuinfo | head -1
echo "processors: $(nproc), kernel $(uname -r)"

echo "# sealing, one core"
taskset -c 0 "$bin/peal-bench" seal
echo "# the primitives alone, one core (openssl speed)"
taskset -c 0 openssl speed -seconds 1 rsa3072 ed25519 2>/dev/null | grep -E '^ *(rsa 3072|.*Ed25519)' || true

echo "# one server, K = 0, one core; 50 pairs, 8 in flight"
start one 0 --listen 127.0.0.1:0 --multicast off --replicas 0
address=$(wait_ready one)
before=$(cpu_ms "${pids[0]}")
taskset -c 1 "$bin/peal-bench" messages --server "$address" --seconds "$seconds"
echo "{\"server_cpu_ms\":$(($(cpu_ms "${pids[0]}") - before)),\"rss\":$(rss "${pids[0]}")}"
stop_all

echo "# durable rows of 256 bytes, 1,000 in a transaction: the store, and plain SQLite tables of the same rows on the same disk"
for schema in store hashed indexed bare; do "$bin/peal-store-bench" append --schema "$schema"; done
echo "# one server, K = 0: messages of 256 bytes for 1,000 people who are away; 50 connections, 64 in flight each"
start away 0,1 --listen 127.0.0.1:0 --multicast off --replicas 0
address=$(wait_ready away)
"$bin/peal-bench" append --server "$address" --flight 64 --seconds "$seconds"
stop_all

echo "# memory per idle logged-in client: 1,000 more on a server that has served 100 (so that caches and threads are there already)"
start idle 0 --listen 127.0.0.1:0 --multicast off --replicas 0
address=$(wait_ready idle)
mkfifo "$work/go"
exec 8<>"$work/go"
benches=()
idle() { # idle N: N more logged-in clients that stay
  : >"$work/idle.json"
  "$bin/peal-bench" idle --server "$address" --clients "$1" <"$work/go" >"$work/idle.json" &
  benches+=($!)
  until [ -s "$work/idle.json" ]; do read -r -t 0.05 <> <(:) || true; done
}
fresh=$(rss "${pids[0]}")
idle 100
warm=$(rss "${pids[0]}")
idle 1000
full=$(rss "${pids[0]}")
echo "{\"rss_fresh\":$fresh,\"rss_100_clients\":$warm,\"rss_1100_clients\":$full,\"bytes_per_client\":$(((full - warm) / 1000))}"
for b in "${benches[@]}"; do
  kill "$b" 2>/dev/null || true
  wait "$b" 2>/dev/null || true
done
exec 8>&-
stop_all

echo "# five servers, K = 2"
five a
"$bin/peal-bench" messages --server "$address" --seconds "$seconds"
stop_all

echo "# operations on accounts' records, which are linearizable registers: one server, and five with K = 2"
start lone 0,1 --listen 127.0.0.1:0 --multicast off --replicas 0
address=$(wait_ready lone)
"$bin/peal-bench" registers --server "$address" --clients 50 --flight 4 --seconds "$seconds"
stop_all
five b
"$bin/peal-bench" registers "${servers[@]}" --clients 50 --flight 4 --seconds "$seconds"
stop_all

echo "# five servers, K = 2: time without service for a key whose first server is killed with -9"
PEAL_BIN=$bin node bench/failover.mjs --kills 20

echo "# four servers, K = 2: time without service while one joins, leaves and comes back, is taken out"
PEAL_BIN=$bin node bench/handover.mjs
