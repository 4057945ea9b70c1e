#!/usr/bin/env bash
# Debian packages that Python wheels cannot bring. Usage: system-packages.sh install|test|train|clients
#   install  what the server needs: libGL and GLib, which the face-mesh detector loads
#   train    speech engines and the voices of the speech corpus, all from Debian main, and libEGL,
#            which what draws portraits loads
#   test     both, a browser with a font, what parses the page's modules, and the servers of deploy/
#            (coturn, nginx, Caddy), which are installed but not started
#   clients  what `make test-clients` needs besides: a WHIP client made with GStreamer, and what
#            gives it a network of its own
# Installs as root or with passwordless sudo; otherwise says what is missing and goes on, and the
# tests that need it are skipped with the same message.
set -euo pipefail

python="${PYTHON:-python3.11}"
server=(libgl1 libglib2.0-0)
speech=(espeak-ng libespeak-ng1 flite festival festvox-kallpc16k festvox-kdlpc16k
  festvox-us-slt-hts festival-czech festival-ca festvox-czech-dita festvox-czech-machac
  festvox-czech-ph festvox-czech-krb festvox-ca-ona-hts festvox-ru festvox-italp16k
  festvox-itapc16k festvox-suopuhe-lj festvox-suopuhe-mv)
drawing=(libegl1)
deployment=(coturn nginx-light caddy openssl)
page=(chromium fonts-dejavu-core libatomic1 nodejs) # libatomic1: of the driver of the browser
clients=(simple-whip-client gstreamer1.0-nice gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gcc libc6-dev iproute2)
case "${1:-install}" in
  install) packages=("${server[@]}") ;;
  train) packages=("${speech[@]}" "${drawing[@]}") ;;
  test) packages=("${server[@]}" "${speech[@]}" "${drawing[@]}" "${page[@]}"
    "${deployment[@]}") ;;
  clients) packages=("${server[@]}" "${page[@]}" "${deployment[@]}" "${clients[@]}") ;;
  *) echo "usage: $0 install|test|train|clients" >&2; exit 2 ;;
esac

# Debian's own Python comes without the module that makes environments.
"$python" -c 'import ensurepip' 2>/dev/null || packages+=("$(basename "$python")-venv")

command -v dpkg-query >/dev/null || { echo "not a Debian system: please provide ${packages[*]}"; exit 0; }
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ]; then
  as_root=()
elif sudo -n true 2>/dev/null; then
  as_root=(sudo -n)
else
  echo "missing Debian packages (install with: sudo apt-get install ${missing[*]})"
  exit 0
fi
echo "installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# What serves must not begin to serve on this machine because tests want to start it by themselves.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod +x "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
