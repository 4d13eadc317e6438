# A PostgreSQL cluster for one benchmark, to be sourced: in $TMPDIR, reached over a socket in the same folder, gone
# afterwards. Sets `bin`, `as` (how to run a program as somebody whom the server accepts) and `work`, goes there, and
# defines `sql`. Where PostgreSQL is not installed it prints `null` and ends the script.

absent() { echo "$(basename "$0"): $*" >&2; echo null; exit 0; }

# Debian keeps the server's programs out of PATH, by version.
bin=
for candidate in $(compgen -G '/usr/lib/postgresql/*/bin' | sort -V) "$(dirname "$(command -v initdb || echo /nowhere/initdb)")"; do
  if [ -x "$candidate/initdb" ] && [ -x "$candidate/pgbench" ]; then bin=$candidate; fi
done
[ -n "$bin" ] || absent "PostgreSQL is not installed (on Debian: apt-get install postgresql)"

# The server refuses to run as root.
as=()
if [ "$(id -u)" -eq 0 ]; then
  id postgres >/dev/null 2>&1 || absent "running as root, and there is no user postgres to run the server as"
  as=(runuser -u postgres --)
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/counterfoil-postgres.XXXXXX")
cleanup() {
  if [ -f "$work/data/postmaster.pid" ]; then
    "${as[@]}" "$bin/pg_ctl" -D "$work/data" -m immediate -w stop >/dev/null 2>&1 || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
[ "${#as[@]}" -eq 0 ] || chown postgres "$work"
cd "$work"

"${as[@]}" "$bin/initdb" -D data -A trust -U bench --no-sync >log.initdb 2>&1 || { cat log.initdb >&2; exit 1; }
# Durability as it comes; a write-ahead log large enough that no checkpoint falls into the measurement.
"${as[@]}" tee -a data/postgresql.conf >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$work'
fsync = on
synchronous_commit = on
shared_buffers = 512MB
max_wal_size = 8GB
CONF
"${as[@]}" "$bin/pg_ctl" -D data -l "$work/data/log" -w start >/dev/null || { cat data/log >&2; exit 1; }

sql() { "${as[@]}" "$bin/psql" -h "$work" -U bench -d postgres -qAtX -v ON_ERROR_STOP=1 "$@"; }
