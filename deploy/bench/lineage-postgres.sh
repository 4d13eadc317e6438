#!/usr/bin/env bash
# Backward lineages by PostgreSQL's recursive query, over a table with an index for it: what `make bench` sets its own
# numbers beside.
#
# usage: lineage-postgres.sh FOLDER, with edges.csv and queries.txt in it. Prints one line of JSON, or `null` where
# PostgreSQL is not installed.
set -euo pipefail
export LC_ALL=C
folder=$(cd "$1" && pwd)
. "$(dirname "$0")/cluster.sh"

sql -c 'create table edge (derived int not null, source int not null)'
sql -c '\copy edge from pstdin csv' <"$folder/edges.csv"
sql -c 'create index on edge (derived) include (source)' -c 'vacuum analyze edge'

# Every query twice over, the first round warming up; the best of three rounds counts.
{
  echo 'prepare lineage(int) as with recursive rests (node) as (select $1 union select source from edge join rests on derived = node) select count(*) from rests;'
  echo '\timing on'
  for _ in 1 2 3 4; do
    echo '\echo round'
    sed 's/.*/execute lineage(&);/' "$folder/queries.txt"
  done
} >"$folder/queries.sql"
sql -f - <"$folder/queries.sql" | awk -v version="$("$bin/postgres" --version | awk '{ print $3 }')" '
  /^round$/ { round++; n = 0; next }
  /^Time:/ { if (round > 1) time[round, ++n] = $2 * 1000; next }
  /^[0-9]+$/ { if (round == 1) nodes += $1 }
  function at(share) { return best[int((n - 1) * share / 100) + 1] }
  END {
    for (r = 2; r <= round; r++) {
      for (i = 1; i <= n; i++) one[i] = time[r, i]
      for (i = 2; i <= n; i++) { x = one[i]; for (j = i - 1; j > 0 && one[j] > x; j--) one[j + 1] = one[j]; one[j + 1] = x }
      half = int((n - 1) / 2) + 1
      if (r == 2 || one[half] < best[half]) for (i = 1; i <= n; i++) best[i] = one[i]
    }
    printf "{\"version\":\"%s\",\"p50_us\":%.1f,\"p99_us\":%.1f,\"nodes\":%d}\n", version, at(50), at(99), nodes
  }'
