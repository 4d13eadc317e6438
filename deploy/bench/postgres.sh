#!/usr/bin/env bash
# Durable inserts of 1 KiB rows into PostgreSQL, one row a transaction: what `make bench` sets its own numbers beside.
#
# A cluster of its own in $TMPDIR, reached over a socket in the same folder, gone afterwards. Prints one line of JSON,
# or `null` where PostgreSQL is not installed. CLIENTS and SECONDS_EACH may be set.
set -euo pipefail
export LC_ALL=C
clients=${CLIENTS:-16}
seconds=${SECONDS_EACH:-10}

. "$(dirname "$0")/cluster.sh"
sql -c 'create table entry (seq bigserial primary key, at timestamptz not null default now(), body bytea not null)'
"${as[@]}" tee insert.sql >/dev/null <<'SQL'
\set r random(1, 1000000000)
insert into entry (body) values (decode(repeat(md5(:r::text), 64), 'hex'));
SQL
bench() {
  "${as[@]}" "$bin/pgbench" -h "$work" -U bench -n -M prepared -f insert.sql -c "$clients" -j 2 "$@" postgres 2>&1 ||
    { echo "postgres.sh: pgbench failed" >&2; exit 1; }
}
bench -T 3 >/dev/null
"${as[@]}" mkdir times
result=$(bench -T "$seconds" -l --log-prefix="$work/times/t")
rate=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$result" | tail -n 1)
[ -n "$rate" ] || { echo "$result" >&2; exit 1; }
settings=$(sql -c "select current_setting('fsync') || ' ' || current_setting('synchronous_commit')")
[ "$settings" = "on on" ] || { echo "postgres.sh: not durable: $settings" >&2; exit 1; }

# The third column is the transaction's time in microseconds.
cat times/t.* | awk '{ print $3 }' | sort -n | awk -v rate="$rate" -v clients="$clients" -v seconds="$seconds" \
  -v version="$("$bin/postgres" --version | awk '{ print $3 }')" '
  { time[NR] = $1 }
  function at(share, n) { n = int((NR - 1) * share) + 1; return time[n] / 1000 }
  END {
    printf "{\"version\":\"%s\",\"clients\":%d,\"seconds\":%d,\"transactions\":%d,", version, clients, seconds, NR
    printf "\"per_second\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", rate, at(0.5), at(0.99)
  }'
