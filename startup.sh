#!/usr/bin/env bash
# Peal on one machine: five servers, three clients with their pages, and the visualizer.
#
#   ./startup.sh [start [NAME...]]   install what is missing, build, start what is not running, print the pages' addresses
#   ./startup.sh status              what runs, and what the ring says of itself
#   ./startup.sh stop [NAME...]      stop everything, or only the named programs; data stays
#   ./startup.sh clean               remove all data, after asking
#
# NAME: server1 … server5, client1 … client3, visualizer.
# Options: --local (plain processes even where Docker answers), --yes (no question), --packages-only, --with-tests.
# Environment: PEAL_HOME (data folder, default ./var), PEAL_BIN (folder of built programs: nothing is installed or built),
# PEAL_MULTICAST (GROUP:PORT[,GROUP:PORT]), PEAL_SERVER_PORT (default 7400), PEAL_PAGE_PORT (first page's, default 8080); port 0: any free ones.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"

home=${PEAL_HOME:-$here/var}
bin=${PEAL_BIN:-}
page_port=${PEAL_PAGE_PORT:-8080}
server_port=${PEAL_SERVER_PORT:-7400}
servers="server1 server2 server3 server4 server5"
clients="client1 client2 client3"
all="$servers $clients visualizer"
ready_seconds=30

build_packages="build-essential cmake ninja-build pkgconf libuv1-dev libssl-dev libsodium-dev libcrypt-dev
  libsqlite3-dev libmicrohttpd-dev libjansson-dev libutf8proc-dev libinih-dev libqrencode-dev libpng-dev uthash-dev ca-certificates"
test_packages="libcriterion-dev clang libclang-rt-14-dev chromium shellcheck libcurl4-openssl-dev procps spin sqlite3"

say() { printf '%s\n' "$*"; }
die() {
  printf 'startup.sh: %s\n' "$*" >&2
  exit 1
}

usage() {
  sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# ---- packages and build -------------------------------------------------------------------------------------------------------

packages() { # packages with-tests?
  local want=$build_packages missing="" p
  if [ "$1" = yes ]; then want="$want $test_packages"; fi
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then want="$want nodejs npm"; fi
  if ! command -v dpkg-query >/dev/null; then
    say "This is not Debian: please install these packages' counterparts yourself: $(tr -s ' \n' ' ' <<<"$want")"
    return
  fi
  for p in $want; do
    if ! dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed'; then missing="$missing $p"; fi
  done
  [ -n "$missing" ] || return 0
  local root="" log=$here/build/packages.log by_hand="as root: apt-get update && apt-get install --no-install-recommends$missing"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "packages are missing and there is no sudo; $by_hand"
    say "Packages are missing; sudo is used to install them:$missing"
    sudo true || die "packages are missing and sudo was refused; $by_hand"
    root=sudo
  else
    say "Installing:$missing"
  fi
  mkdir -p "$here/build"
  if ! $root apt-get update -q >"$log" 2>&1; then
    say "apt-get update failed ($(tail -n 1 "$log")); going on with the lists at hand."
  fi
  # shellcheck disable=SC2086
  if ! $root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >>"$log" 2>&1 </dev/null; then
    tail -n 5 "$log" >&2
    die "packages could not be installed; all that was said is in $log; $by_hand"
  fi
}

build() {
  local dir=$here/build/startup
  say "Building in ${dir#"$here"/} …"
  mkdir -p "$dir"
  if ! { cmake -S . -B "$dir" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF -Wno-dev &&
    cmake --build "$dir" --target peald peald_man peal peal-visualizer; } >"$dir/startup.log" 2>&1; then
    tail -n 30 "$dir/startup.log" >&2
    die "the build failed; all of it is in $dir/startup.log"
  fi
  bin=$dir/bin
}

# ---- processes ------------------------------------------------------------------------------------------------------------------
# run/NAME.pid holds a process id and its start time, so that a number that was given to another process is not taken for ours.

start_time() { # of process $1; empty when there is none
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat
  # A zombie has ended, whoever has not yet asked how.
  [ "$1" = Z ] || echo "${20}"
}

pid_of() { # prints the process id of NAME when it runs
  local pid started
  read -r pid started 2>/dev/null <"$home/run/$1.pid" || return 1
  [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] || return 1
  echo "$pid"
}

launch() { # launch NAME COMMAND...: in the background, output to log/NAME.out, errors to log/NAME.log
  local name=$1
  shift
  : >"$home/log/$name.out"
  printf -- '--- %s %s\n' "$(date -u +%FT%TZ)" "$*" >>"$home/log/$name.log"
  setsid "$@" >>"$home/log/$name.out" 2>>"$home/log/$name.log" </dev/null 9>&- &
  local pid=$!
  echo "$pid $(start_time "$pid")" >"$home/run/$name.pid"
}

# await NAME: waits for the program's "ready" line; 1 when it ended instead, 2 when time is up
await() {
  local name=$1 deadline=$((SECONDS + ready_seconds))
  while ! grep -q '^ready' "$home/log/$name.out"; do
    pid_of "$name" >/dev/null || return 1
    [ "$SECONDS" -lt "$deadline" ] || return 2
    # Until the log changes or the process ends: inotify is not everywhere, so look ten times a second.
    read -r -t 0.1 <> <(:) || true
  done
}

usual_port() { # the port that NAME prefers
  case $1 in
  server*) echo "$server_port" ;;
  visualizer) echo "$page_port" ;;
  *) if [ "$page_port" = 0 ]; then echo 0; else echo $((page_port + ${1#client})); fi ;;
  esac
}

launch_at() { # launch_at NAME PORT
  case $1 in
  server*)
    mkdir -p "$home/$1"
    launch "$1" "$bin/peald" --data "$home/$1" --listen "127.0.0.1${1#server}:$2" --ring-key-file "$home/ring.key"
    ;;
  visualizer) launch "$1" "$bin/peal-visualizer" --listen "127.0.0.1:$2" ;;
  *) launch "$1" "$bin/peal" --profile "$home/$1" web --listen "127.0.0.1:$2" ;;
  esac
}

# settle NAME: waits until it is ready; when its usual port is taken, starts it again on any free one
settle() {
  local name=$1 code=0
  await "$name" || code=$?
  if [ "$code" = 1 ] && [ "$(usual_port "$name")" != 0 ] && tail -n 3 "$home/log/$name.log" | grep -qi ' in use'; then
    say "Port $(usual_port "$name") is taken; $name gets another."
    launch_at "$name" 0
    code=0
    await "$name" || code=$?
  fi
  if [ "$code" != 0 ]; then
    tail -n 3 "$home/log/$name.log" | sed 's/^/  /' >&2
    die "$name did not start; $home/log/$name.log says why"
  fi
}

ring_status() {
  "$bin/peal" --profile "$home/status" --json ring status 2>/dev/null
}

ring_is_whole() { # of $1 servers
  local s
  s=$(ring_status) || return 1
  [[ $s == *'"whole":true'* || $s == *'"whole": true'* ]] &&
    [ "$(grep -o '"state": *"up"' <<<"$s" | wc -l)" = "$1" ]
}

page_address() {
  sed -n 's/^ready web=//p' "$home/log/$1.out" 2>/dev/null
}

pages() {
  local name
  for name in $clients visualizer; do
    if pid_of "$name" >/dev/null; then say "  $name: $(page_address "$name")"; fi
  done
}

running() { # the names that run
  local name
  for name in $all; do
    if pid_of "$name" >/dev/null; then echo "$name"; fi
  done
}

# ---- commands -------------------------------------------------------------------------------------------------------------------

use_docker() {
  [ "$local_only" = no ] && [ -z "${PEAL_BIN:-}" ] && command -v docker >/dev/null && docker info >/dev/null 2>&1
}

check_names() {
  local name
  for name in "$@"; do
    case " $all " in
    *" $name "*) ;;
    *) die "'$name' is none of: $all" ;;
    esac
  done
}

cmd_start() {
  local name want=${*:-$all} todo="" up
  # shellcheck disable=SC2086
  check_names $want
  up=$(running)
  for name in $want; do
    if ! grep -qx "$name" <<<"$up"; then todo="$todo $name"; fi
  done
  if [ -z "$todo" ]; then
    say "Peal is running already. The pages:"
    pages
    return
  fi
  if use_docker; then
    say "A Docker engine answers, but this version of Peal has no images yet: starting plain processes, as with --local."
  fi
  [ -n "$bin" ] || { packages no && build; }
  if [ -n "$up" ]; then say "Running already: ${up//$'\n'/ }. Starting:$todo."; fi
  for name in $todo; do
    case $name in server*) launch_at "$name" "$server_port" ;; esac
  done
  for name in $todo; do
    case $name in server*) settle "$name" ;; esac
  done
  local n deadline=$((SECONDS + ready_seconds))
  n=$(running | grep -c '^server' || true)
  until ring_is_whole "$n"; do
    [ "$SECONDS" -lt "$deadline" ] || die "the ring of $n servers is not whole after $ready_seconds s; the logs are in $home/log"
  done
  say "The ring of $n servers is whole."
  for name in $todo; do
    case $name in
    server*) ;;
    *)
      launch_at "$name" "$(usual_port "$name")"
      settle "$name"
      ;;
    esac
  done
  say "The pages:"
  pages
  say "Data: $home. Stop with ./startup.sh stop."
}

cmd_status() {
  local name pid code=0
  for name in $all; do
    if pid=$(pid_of "$name"); then
      say "$name: runs (process $pid) $(page_address "$name")"
    else
      say "$name: does not run"
      code=1
    fi
  done
  if [ -z "$bin" ] && [ -x "$here/build/startup/bin/peal" ]; then bin=$here/build/startup/bin; fi
  if [ -n "$(running | grep '^server' || true)" ] && [ -n "$bin" ]; then
    "$bin/peal" --profile "$home/status" ring status || true
  fi
  return $code
}

cmd_stop() {
  local name pid want=${*:-visualizer $clients $servers} stopped="" deadline=$((SECONDS + ready_seconds))
  # shellcheck disable=SC2086
  check_names $want
  for name in $want; do
    if pid=$(pid_of "$name"); then
      kill -TERM "$pid" 2>/dev/null || true
      stopped="$stopped $name"
    fi
  done
  for name in $stopped; do
    while pid=$(pid_of "$name"); do
      if [ "$SECONDS" -ge "$deadline" ]; then
        say "$name does not end by itself: killed."
        kill -KILL "$pid" 2>/dev/null || true
      fi
      read -r -t 0.05 <> <(:) || true
    done
    rm -f "$home/run/$name.pid"
  done
  if [ -n "$stopped" ]; then say "Stopped:$stopped. Data stays in $home."; else say "Nothing was running."; fi
}

cmd_clean() {
  local answer=""
  [ -z "$(running)" ] || die "Peal is running; first: ./startup.sh stop"
  if [ ! -d "$home" ]; then
    say "There is no data: $home does not exist."
    return
  fi
  if [ "$yes" = no ]; then
    printf 'Remove all accounts, keys and messages in %s? [y/N] ' "$home"
    read -r answer || true
    [[ $answer == [yY]* ]] || { say "Nothing was removed."; return; }
  fi
  # Only what this script makes: a mistaken PEAL_HOME loses nothing else.
  rm -rf "$home"/server[1-5] "$home"/client[1-3] "$home/visualizer" "$home/status" "$home/run" "$home/log" "$home/ring.key" "$home/lock"
  rmdir "$home" 2>/dev/null || say "Left alone in $home: what Peal did not make."
  say "Removed."
}

# ---- command line ---------------------------------------------------------------------------------------------------------------

local_only=no yes=no only_packages=no with_tests=no words=()
for arg in "$@"; do
  case $arg in
  --local) local_only=yes ;;
  --yes) yes=yes ;;
  --packages-only) only_packages=yes ;;
  --with-tests) with_tests=yes ;;
  -h | --help)
    usage
    exit 0
    ;;
  -*)
    printf 'startup.sh: no such option: %s\n' "$arg" >&2
    usage >&2
    exit 2
    ;;
  *) words+=("$arg") ;;
  esac
done

if [ "$only_packages" = yes ]; then
  packages "$with_tests"
  exit 0
fi

command=${words[0]:-start}
case $command in
status)
  cmd_status
  exit
  ;;
start | stop | clean) ;;
*)
  printf 'startup.sh: no such command: %s\n' "$command" >&2
  usage >&2
  exit 2
  ;;
esac
if [ "$command" != clean ] || [ -d "$home" ]; then
  umask 077
  mkdir -p "$home/run" "$home/log"
  exec 9>"$home/lock"
  flock -n 9 || die "another startup.sh is at work in $home"
fi
"cmd_$command" "${words[@]:1}"
