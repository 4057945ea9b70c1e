#!/usr/bin/env bash
# Makes the page in site/: three.js and @pixiv/three-vrm (both MIT) from npm at the versions of
# package-lock.json, and a model of our own. Needs Node 20 or newer, and a Python with numpy.
#   ./build.sh            then serve site/, for example: python3 -m http.server -d site 8090
# PYTHON: the interpreter for the model (default python3).
set -euo pipefail
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
npx --no-install esbuild page.js --bundle --format=esm --minify --legal-comments=linked --outfile=site/page.js
cp index.html site/
"${PYTHON:-python3}" model.py site/avatar.vrm
