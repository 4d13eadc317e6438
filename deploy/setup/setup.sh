#!/usr/bin/env bash
# Installs what building needs and this machine lacks. Does nothing, quickly, when all is there.
set -euo pipefail

fail() { echo "setup: $*" >&2; exit 1; }

command -v cargo >/dev/null || fail "Rust is missing; install it from https://rustup.rs and run this again"

missing=()
command -v c++ >/dev/null || missing+=(g++)
# bindgen loads libclang when RocksDB's bindings are generated.
if ! compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null &&
  ! compgen -G '/usr/lib/*/libclang-[0-9]*.so*' >/dev/null; then
  missing+=(libclang-dev)
fi
# The page and its verifier are built and tested with Node; 18.19 is what Debian 12 and Ubuntu 24.04 have.
node_is_new_enough() {
  command -v node >/dev/null && node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 18 || (major === 18 && minor >= 19) ? 0 : 1)'
}
node_is_new_enough || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
[ "${#missing[@]}" -eq 0 ] && exit 0

echo "setup: installing ${missing[*]} ..." >&2
command -v apt-get >/dev/null ||
  fail "this is not Debian or Ubuntu; install the equivalents of: ${missing[*]}, then run this again"
root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail "no right to install packages; as root: apt-get install ${missing[*]}"
  root=(sudo)
fi
"${root[@]}" apt-get update -qq || fail "the package lists cannot be fetched; is the network there?"
"${root[@]}" apt-get install -y -qq "${missing[@]}" >&2 || fail "apt-get could not install ${missing[*]}"
node_is_new_enough ||
  fail "this release has Node $(node --version 2>/dev/null || echo 'none'), and 18.19 or newer is needed; install it from https://nodejs.org and run this again"
