#!/usr/bin/env bash
# The second verifier's gate: builds it, which checks its types, and runs its own tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./build.sh
exec node --test dist/test/*.test.js
