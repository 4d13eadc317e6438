#!/usr/bin/env bash
# Installs the pinned packages, compiles to dist and puts the page together (dist/verify.html, one file that needs no
# network), each only if what it is made from has changed. Several may run it at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

command -v node >/dev/null && command -v npm >/dev/null ||
  { echo "node/ui/build.sh: node or npm is missing; run 'make setup'" >&2; exit 1; }
exec 9>.build.lock
flock 9

installed=node_modules/.installed-lock.json
if ! cmp -s package-lock.json "$installed"; then
  npm ci --no-audit --no-fund >&2 || { echo "node/ui/build.sh: npm ci failed; is the network there?" >&2; exit 1; }
  cp package-lock.json "$installed"
fi
sources=$(find verify page test tsconfig.json package-lock.json -type f | LC_ALL=C sort | xargs sha256sum)
if [ "$(cat dist/.sources 2>/dev/null)" != "$sources" ]; then
  rm -rf dist
  node_modules/.bin/tsc
  node_modules/.bin/esbuild page/page.ts --bundle --minify --format=iife --target=es2022 --charset=ascii \
    --legal-comments=none --log-level=warning --outfile=dist/page/bundled.js
  node page/assemble.mjs dist/page/bundled.js dist/verify.html
  echo "$sources" >dist/.sources
fi
