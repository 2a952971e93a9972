#!/usr/bin/env bash
# Peal's test command. On a fresh Debian 12 machine it installs what it needs, builds, and runs every test through ctest:
# the release build with all unit, page and end-to-end tests; the sanitisers; the other compiler; the fuzzers' seeds.
#
#   tests/run.sh          everything
#   tests/run.sh quick    the release build only
set -euo pipefail
case "$#:${1:-}" in
0: | 1:quick) ;;
*)
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
cd "$(dirname "$0")/.."

./startup.sh --packages-only --with-tests

step() { printf '\n=== %s\n' "$*"; }
jobs=$(nproc)

run() { # run PRESET TARGET [ctest options]
  local preset=$1 target=$2
  shift 2
  step "$preset: configure and build"
  cmake --preset "$preset" -Wno-dev >/dev/null
  cmake --build --preset "$preset" -j "$jobs" --target "$target" -- --quiet
  step "$preset: test"
  ctest --preset "$preset" -j "$((2 * jobs))" "$@" # many wait more than they work; those that work count twice
}

run release all
if [ "${1:-}" = quick ]; then
  printf '\nthe release build passed\n'
  exit 0
fi
run asan all -L 'unit|fuzz'
run tsan all -L unit
step "clang: build (warnings are errors)"
cmake --preset clang -Wno-dev >/dev/null
cmake --build --preset clang -j "$jobs" -- --quiet
run fuzz fuzzers -L fuzz
step "shell scripts"
shellcheck startup.sh .ci/run bench/*.sh chord/model/*.sh cmake/*.sh tests/*.sh tests/mutants/*.sh
printf '\nall tests passed\n'
