#!/usr/bin/env bash
# Builds librocksdb.a once, from the sources that the locked librocksdb-sys crate ships, and prints the
# directory that holds it. `librocksdb-sys` would compile the same sources again for every profile and every
# target directory (20 minutes each on two cores); with ROCKSDB_LIB_DIR and ROCKSDB_STATIC set it links this
# archive instead. A plain `cargo build` without this script still works, only slower.
#
# The archive is keyed by the crate's version, the compiler and the flags, and put in place by one rename, so an
# interrupted build leaves nothing that a later one would trust.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${COUNTERFOIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/counterfoil}
cxx=${CXX:-c++}

command -v "$cxx" >/dev/null || { echo "rocksdb.sh: no C++ compiler ($cxx); run 'make setup'" >&2; exit 1; }
manifest=$(cd "$root" && cargo metadata --locked --format-version 1 2>/dev/null |
  tr ',' '\n' | sed -n 's/.*"manifest_path":"\([^"]*librocksdb-sys-[^"]*\)\/Cargo.toml".*/\1/p' | head -n 1 || true)
[ -n "$manifest" ] || { echo "rocksdb.sh: librocksdb-sys is not among the locked crates; run 'cargo fetch --locked'" >&2; exit 1; }

# The defines are those of the crate's own build script for Linux; the instruction sets are what every x86-64
# server since 2010 has, and what the hardware CRC32C of the write-ahead log needs.
flags=(-std=c++20 -O2 -fPIC -DNDEBUG -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX
  -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT
  -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT
  -DROCKSDB_SUPPORT_THREAD_LOCAL -w -include cstdint -include cassert)
case $(uname -m) in
  x86_64) flags+=(-msse4.2 -mpclmul) ;;
  aarch64) flags+=(-march=armv8-a+crc+crypto) ;;
esac
key=$(printf '%s\n' "$(basename "$manifest")" "$("$cxx" -dumpfullversion -dumpversion)" "${flags[@]}" | sha256sum | cut -c1-16)
out=$cache/rocksdb/$(basename "$manifest")-$key
if [ -f "$out/librocksdb.a" ]; then echo "$out"; exit 0; fi

mkdir -p "$cache/rocksdb"
work=$(mktemp -d "$cache/rocksdb/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "building RocksDB once (about six minutes on two cores) ..." >&2
grep -v '^util/build_version.cc$' "$manifest/rocksdb_lib_sources.txt" | sed '/^[[:space:]]*$/d' >"$work/sources"
split -l 25 -d -a 3 "$work/sources" "$work/group."
compile=("$cxx" "${flags[@]}" -I"$manifest/rocksdb/include" -I"$manifest/rocksdb" -I"$manifest")
export work manifest
one_group() {
  group=$1; shift
  sed "s|^|#include \"$manifest/rocksdb/|; s|\$|\"|" "$group" >"$group.cc"
  "$@" -c "$group.cc" -o "$group.o" 2>"$group.log" && return 0
  # Two files of one group may define the same file-local name: then compile the group file by file.
  n=0
  while read -r source; do
    n=$((n + 1))
    "$@" -c "$manifest/rocksdb/$source" -o "$group.$n.o" || { echo "rocksdb.sh: $source does not compile" >&2; return 1; }
  done <"$group"
}
export -f one_group
find "$work" -name 'group.[0-9][0-9][0-9]' | sort |
  xargs -P "$(nproc)" -I{} bash -c 'one_group "$@"' _ {} "${compile[@]}"
"${compile[@]}" -c "$manifest/build_version.cc" -o "$work/build_version.o"
mkdir "$work/lib"
ar crs "$work/lib/librocksdb.a" "$work"/*.o
if ! mv -T "$work/lib" "$out" 2>/dev/null; then [ -f "$out/librocksdb.a" ]; fi
echo "$out"
