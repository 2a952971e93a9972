#!/usr/bin/env bash
# Real servers on loopback, half of them killed with -9 at once, and lookups of names asked of those that are left from that moment on.
#   bench/processes.sh [SERVERS, default 64] [SECONDS of lookups, default 20]
# Prints one JSON object before the kill and one after it (bench/lookups.c checks every answer).
set -euo pipefail
cd "$(dirname "$0")/.."
servers=${1:-64}
seconds=${2:-20}
bin=${PEAL_BIN:-}
if [ -z "$bin" ]; then
  cmake --preset release -Wno-dev >/dev/null
  cmake --build --preset release -- --quiet
  bin=$PWD/build/release/bin
fi
work=$(mktemp -d -t peal-processes.XXXXXX)
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill -KILL "$p" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
pause() { read -r -t "$1" <> <(:) || true; }

start() { # start NUMBER ARGS...
  local name=s$1
  mkdir -p "$work/$name"
  "$bin/peald" --data "$work/$name" --ring-key-file "$work/ring.key" --bcrypt-cost 4 --multicast off --listen 127.0.0.1:0 "${@:2}" \
    >"$work/$name.out" 2>"$work/$name.log" &
  pids+=($!)
  disown $! # killing them is part of the plan: no word about it
}

address() { sed -n 's/^ready.*listen=//p' "$work/s$1.out"; }

wait_for() { # wait_for NUMBER
  local end=$((SECONDS + 300))
  until [ -n "$(address "$1")" ]; do
    [ "$SECONDS" -lt "$end" ] || { tail -5 "$work/s$1.log" >&2; echo "server $1 is not ready" >&2; exit 1; }
    pause 0.05
  done
}

began=$(date +%s%N)
start 1
wait_for 1
first=$(address 1)
for i in $(seq 2 "$servers"); do start "$i" --join "$first"; done
for i in $(seq 2 "$servers"); do wait_for "$i"; done
echo "{\"servers\":$servers,\"ready_s\":$((($(date +%s%N) - began) / 1000000))e-3}"

opts=()
for i in $(seq 1 "$servers"); do opts+=(--server "$(address "$i")"); done

run() { # run LABEL: through two named pipes, so that the kill can come between ready and go
  local label=$1 line
  "$bin/peal-bench" lookups "${opts[@]}" --seconds "$seconds" <"$work/go" >"$work/answers" &
  local bench=$!
  exec 7>"$work/go" 8<"$work/answers"
  read -r line <&8
  case "$line" in *ready*) ;; *) echo "$line" >&2; exit 1 ;; esac
  if [ "$label" = after ]; then
    local doomed=()
    for i in $(seq 2 2 "$servers"); do doomed+=("${pids[$((i - 1))]}"); done
    kill -KILL "${doomed[@]}"
  fi
  echo >&7
  read -r line <&8
  echo "{\"when\":\"$label\",${line#\{}"
  exec 7>&- 8<&-
  wait "$bench"
}
mkfifo "$work/go" "$work/answers"
run before
run after
