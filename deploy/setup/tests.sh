#!/usr/bin/env bash
# Installs what the tests run other people's software with. Building and running a node needs none of it.
set -euo pipefail

fail() { echo "setup for the tests: $*" >&2; exit 1; }

missing=()
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
command -v go >/dev/null || missing+=(golang-go)
[ -d /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog ] || missing+=(golang-golang-x-mod-dev)
command -v ip >/dev/null || missing+=(iproute2)
command -v nft >/dev/null || missing+=(nftables)
command -v chromium >/dev/null || missing+=(chromium)
[ "${#missing[@]}" -eq 0 ] && exit 0

echo "setup for the tests: installing ${missing[*]} ..." >&2
command -v apt-get >/dev/null ||
  fail "this is not Debian or Ubuntu; install the equivalents of: ${missing[*]}, then run this again"
root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail "no right to install packages; as root: apt-get install ${missing[*]}"
  root=(sudo)
fi
"${root[@]}" apt-get update -qq || fail "the package lists cannot be fetched; is the network there?"
"${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
  fail "apt-get could not install ${missing[*]}"
