#!/usr/bin/env bash
# Backward lineages over a graph held by igraph in memory: what `make bench` sets its own numbers beside.
#
# usage: lineage-igraph.sh FOLDER, with edges.csv and queries.txt in it. Prints one line of JSON, or `null` where igraph
# is not here and cannot be installed.
set -euo pipefail
folder=$1
version=1.0.0

absent() { echo "lineage-igraph.sh: $*" >&2; echo null; exit 0; }

venv=${XDG_CACHE_HOME:-$HOME/.cache}/counterfoil/bench-igraph-$version
if ! "$venv/bin/python" -c 'import igraph' 2>/dev/null; then
  python3 -m venv --clear "$venv" >&2 || absent "python3 cannot make an environment"
  "$venv/bin/pip" install --quiet --only-binary :all: "igraph==$version" >&2 || absent "igraph $version cannot be installed"
fi
exec "$venv/bin/python" - "$folder" <<'PY'
import json, sys, time
import igraph

folder = sys.argv[1]
with open(f"{folder}/edges.csv") as lines:
    edges = [tuple(map(int, line.split(","))) for line in lines]
with open(f"{folder}/queries.txt") as lines:
    queries = [int(line) for line in lines]
graph = igraph.Graph(n=1 + max(max(edge) for edge in edges), edges=edges, directed=True)
best, nodes = None, 0
for _ in range(5):
    times, nodes = [], 0
    for query in queries:
        begin = time.perf_counter()
        reached = graph.subcomponent(query, mode="out")
        times.append((time.perf_counter() - begin) * 1e6)
        nodes += len(reached)
    times.sort()
    if best is None or times[len(times) // 2] < best[len(best) // 2]:
        best = times
at = lambda share: best[(len(best) - 1) * share // 100]
print(json.dumps({"version": igraph.__version__, "p50_us": at(50), "p99_us": at(99), "nodes": nodes}))
PY
