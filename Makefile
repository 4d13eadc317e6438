# Set-up and work. `make demo` and `make test` install what is missing on Debian and Ubuntu.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(COUNTERFOIL_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/counterfoil)
export COUNTERFOIL_CACHE := $(CACHE)
# Under CI the build output lives in the user's cache, so that a clean checkout does not compile everything again.
ifeq ($(CI),true)
export CARGO_TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CACHE)/target)
endif
# RocksDB, built once for all profiles; without the archive cargo builds its own.
ROCKSDB = set -euo pipefail; if dir=$$(deploy/setup/rocksdb.sh); then export ROCKSDB_LIB_DIR="$$dir" ROCKSDB_STATIC=1; fi;

.PHONY: help setup fmt lint doc build demo test sim soak fuzz bench

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

setup: ## install what the build needs
	@deploy/setup/setup.sh >&2

fmt: ## format the code
	@cargo fmt

lint: setup ## clippy, warnings denied
	@$(ROCKSDB) cargo clippy --workspace --all-targets --locked -- -D warnings

doc: setup ## the API documentation, warnings denied
	@$(ROCKSDB) RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

build: setup ## the command, in release
	@$(ROCKSDB) cargo build --release --locked -p counterfoil-node

ARGS ?=
demo: setup ## build, then play the story through four real nodes; ARGS='--exit --json' or ARGS=tamper
	@$(ROCKSDB) cargo build --release --locked -q -p counterfoil-node; \
	exec "$${CARGO_TARGET_DIR:-target}/release/counterfoil" demo $(ARGS)

test: setup ## format, lints, docs and every test
	@deploy/setup/tests.sh
	@cargo fmt --check
	@$(ROCKSDB) cargo clippy --workspace --all-targets --locked -- -D warnings; \
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked; \
	if cargo deny --version >/dev/null 2>&1; then cargo deny check licenses bans; \
	else echo "cargo deny is not installed: licences not checked" >&2; fi; \
	cargo test --workspace --doc --locked; \
	node/ui/check.sh; \
	if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --workspace --locked; \
	else cargo test --workspace --all-targets --locked; fi

SEEDS ?= 100..200
sim: setup ## simulation swarm, SEEDS=100..200; prints the command that repeats a failing seed
	@cargo run --release --locked -q -p counterfoil-simnet -- swarm --seeds $(SEEDS)

MINUTES ?= 10
NODES ?= 6
SOAK_SEED ?= 1
soak: setup ## NODES=6 real nodes, two behind NAT, for MINUTES=10 under faults; then heals and checks; needs root
	@deploy/setup/tests.sh
	@$(ROCKSDB) cargo build --locked -q -p counterfoil-tests --bins; \
	MINUTES=$(MINUTES) NODES=$(NODES) SEED=$(SOAK_SEED) exec "$${CARGO_TARGET_DIR:-target}/debug/soak"

CASES ?= 20000
fuzz: setup ## every decoder and verifier on CASES random inputs each; what fails is kept and tried first ever after
	@$(ROCKSDB) PROPTEST_CASES=$(CASES) MUTATIONS=100000 cargo nextest run --release --locked --workspace \
	  -E 'binary(decoders) | binary(bundle) | binary(mutations)'

BENCH = $${CARGO_TARGET_DIR:-$(CURDIR)/target}
bench: setup ## appends, lineages, decisions, beside peers on this machine; writes bench/report.json, fails at a missed bar
	@missed=0; \
	( $(ROCKSDB) cargo bench --locked -q -p counterfoil-node --bench append ) || missed=1; \
	( $(ROCKSDB) cargo bench --locked -q -p counterfoil-node --bench decide ) || missed=1; \
	cargo bench --locked -q -p counterfoil-protocol --bench decisions || missed=1; \
	cargo bench --locked -q -p counterfoil-protocol --bench lineage || missed=1; \
	BENCH_REPORT="$(BENCH)/bench/report.json" CARGO_TARGET_DIR="$(BENCH)/policy" \
	  cargo run --release --locked -q --manifest-path deploy/bench/policy/Cargo.toml || missed=1; \
	exit $$missed
