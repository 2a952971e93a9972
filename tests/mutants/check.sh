#!/bin/sh
# One mutant: builds it (which applies its patch), and holds that the named test passes without the bug and fails with it, saying what it should.
#
#   check.sh CMAKE BUILD_FOLDER TARGET TEST_PROGRAM FILTER SEEDS SAYS
#
# A patch that no longer applies: mutate a copy of the file by hand, and  diff -U1 --label a/FILE --label b/FILE  (one line of context outlives most changes around it).
set -eu
cmake=$1 build=$2 target=$3 test=$4 filter=$5 says=$7
export PEAL_SIM_SEEDS="$6"
unset PEAL_SIM_SEED PEAL_SIM_FROM

if ! out=$("$cmake" --build "$build" --target "$target" 2>&1); then
  printf '%s\nthe mutant cannot be built: does its patch still apply?\n' "$out" | tail -25 >&2
  exit 1
fi
mutant=$(dirname "$test")/$target
if out=$("$mutant" --filter "$filter" --jobs 1 2>&1); then
  printf '%s\nthe bug goes unnoticed by %s\n' "$(printf '%s' "$out" | tail -5)" "$filter" >&2
  exit 1
fi
if ! printf '%s' "$out" | grep -Eq "$says"; then
  printf '%s\nit fails, but does not say: %s\n' "$(printf '%s' "$out" | tail -25)" "$says" >&2
  exit 1
fi
printf '%s' "$out" | grep -E "$says" | head -3
out=$("$test" --filter "$filter" --jobs 1 2>&1) || {
  printf '%s\nit fails without the bug as well\n' "$(printf '%s' "$out" | tail -25)" >&2
  exit 1
}
case "$out" in
*"Tested: "[1-9]*) ;;
*) printf 'no test is called %s\n' "$filter" >&2; exit 1 ;;
esac
