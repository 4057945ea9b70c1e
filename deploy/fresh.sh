#!/usr/bin/env bash
# Try the quick start on a machine that has nothing: a bare Debian 12 in FOLDER/machine, a clone of
# this checkout's last commit in it, `make serve` until it is ready, and `make test`, by chroot.
#
#   sudo -E deploy/fresh.sh FOLDER [serve] [test]       both, unless told which
#
# FOLDER grows to some 10 GB and is kept; a later run makes the machine anew from FOLDER/bare.
# Environment:
#   MIRROR   Debian mirror (default: that of debootstrap)
#   BIND     folders and files that are seen inside, read-only: PATH or PATH:PATH-INSIDE, by spaces
#   PASS     further variables to pass in, by spaces. PIP_*, *_proxy and TORCH_INDEX always are
#   PORT     where the server listens meanwhile (default 8080)
#   KEEP     if set, go on with the machine as the last run left it
#   ARGS     further arguments of pytest, such as a folder of tests
set -euo pipefail

fail() { echo "fresh.sh: $*" >&2; exit 1; }
say() { printf '\n=== %s  %s\n' "$(date +%T)" "$*"; }

[ $# -ge 1 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 2; }
[ "$(id -u)" = 0 ] || fail "chroot and mounts need root: sudo -E $0 $*"
for tool in debootstrap git unshare; do
  command -v "$tool" >/dev/null || fail "$tool is missing; on Debian: apt-get install debootstrap git util-linux"
done
# Mounts of a namespace of our own are gone with our last process, however it ends.
[ -n "${FRESH_NAMESPACE:-}" ] || FRESH_NAMESPACE=1 exec unshare --mount bash "$0" "$@"

repo="$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
mkdir -p "$1"
folder="$(cd "$1" && pwd)"
shift
steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(serve test)
for step in "${steps[@]}"; do
  [[ $step = serve || $step = test ]] || fail "no step $step; there are serve and test"
done
machine="$folder/machine" port="${PORT:-8080}"
results=() server=

make_machine() {
  if [ ! -e "$folder/bare.done" ]; then
    say "a bare Debian 12 in $folder/bare"
    rm -rf "$folder/bare"
    debootstrap --variant=minbase --include=make,python3.11 bookworm "$folder/bare" ${MIRROR:+"$MIRROR"}
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$(uname -n)" >"$folder/bare/etc/hosts"
    touch "$folder/bare.done"
  fi
  say "a copy of it as $machine"
  rm -rf "$machine"
  cp -a "$folder/bare" "$machine"
  say "a clone of $(git -C "$repo" log -1 --format='%h, %s')"
  [ -z "$(git -C "$repo" status --porcelain)" ] || echo "what is not committed stays out of it"
  git clone --quiet --depth 1 "file://$repo" "$machine/srv/vivavoce"
}

mount_all() {
  mount -t proc proc "$machine/proc"
  mount -t sysfs -o ro sysfs "$machine/sys"
  mkdir -p "$machine/dev/shm" "$machine/dev/pts"
  mount -t devpts -o newinstance,ptmxmode=666 devpts "$machine/dev/pts" # apt writes its log by it
  mount -t tmpfs -o mode=1777 shm "$machine/dev/shm" # shared memory of ours and of Chromium
  cp -L /etc/resolv.conf "$machine/etc/resolv.conf"
  local pair from to
  for pair in ${BIND:-}; do
    from="${pair%%:*}" to="$machine${pair#*:}"
    [ -e "$from" ] || fail "BIND: there is no $from"
    if [ -d "$from" ]; then mkdir -p "$to"; else mkdir -p "$(dirname "$to")" && touch "$to"; fi
    mount --bind "$from" "$to"
    mount -o remount,bind,ro "$to"
  done
}

inside() { # a command line in the clone, in an environment as bare as the machine
  local given=() name
  for name in $(compgen -e) ${PASS:-}; do
    if [[ $name =~ ^PIP_|_proxy$|^TORCH_INDEX$ || " ${PASS:-} " = *" $name "* ]]; then
      given+=("$name=${!name-}")
    fi
  done
  chroot "$machine" /usr/bin/env -i "${given[@]}" HOME=/root TERM=dumb \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    bash -c "cd /srv/vivavoce && $1"
}

stop_server() { # as Ctrl-C does; fails if it takes more than two minutes
  [ -n "$server" ] || return 0
  local group="$server" end=$((SECONDS + 120))
  server=
  kill -INT -- "-$group" 2>/dev/null || true
  while kill -0 -- "-$group" 2>/dev/null; do
    if [ $SECONDS -gt $end ]; then
      kill -KILL -- "-$group"
      echo "the server did not stop"
      return 1
    fi
    sleep 0.2
  done
}

serve() { # up to the first yes of /ready, and to a quiet end
  local log="$folder/serve.log" ready="http://127.0.0.1:$port/ready"
  ! (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "port $port is taken; set PORT"; return 1; }
  set -m # a process group of its own
  inside "make serve ARGS='--port $port'" >"$log" 2>&1 &
  server=$!
  set +m
  until inside "python3.11 -c 'import urllib.request as r; r.urlopen(\"$ready\", timeout=5)'" 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || { server=; tail -n 40 "$log"; return 1; }
    sleep 2
  done
  grep 'http://' "$log" || true
  stop_server || return 1
  ! grep -E 'terminate called|Traceback' "$log"
}

attempt() {
  say "make $1 (log: $folder/$1.log)"
  local begin=$SECONDS verdict=passed
  if [ "$1" = serve ]; then
    serve || verdict=FAILED
  else
    inside "make test ARGS='${ARGS:-}'" 2>&1 | tee "$folder/test.log" || verdict=FAILED
  fi
  results+=("make $1: $verdict after $((SECONDS - begin)) s")
}

trap 'stop_server || true' EXIT
[ -n "${KEEP:-}" ] && [ -d "$machine/srv/vivavoce" ] || make_machine
mount_all
for step in "${steps[@]}"; do attempt "$step"; done
say "on a bare Debian $(cat "$machine/etc/debian_version")"
printf '%s\n' "${results[@]}"
[[ "${results[*]}" != *FAILED* ]]
