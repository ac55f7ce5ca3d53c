# privet: `make demo` shows it, `make test` proves it. What either needs and finds missing, it installs, saying so.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
# Steps share one target directory and two cores.
.NOTPARALLEL:

TARGET := $(or $(CARGO_TARGET_DIR),target)
STEP := tools/step

.PHONY: help demo test bench lint fmt-check clippy deny seeded-bugs binaries unit tree template fuzz helm clients consent console needs-build needs-test

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 14

demo: needs-build ## build privet and show its main job on real sample traffic, in demo/
	@$(STEP) "release build" cargo build --locked --release -p privet -p privet-audit
	@rm -rf demo
	@$(TARGET)/release/privet demo --once --dir demo/

# Cheap before dear: a wrong comma should not cost a compile.
test: ## everything: format, supply chain, lints, unit and end-to-end tests, chart, real clients
	@start=$$SECONDS; \
	$(MAKE) --no-print-directory lint binaries unit tree template fuzz helm clients console consent; \
	printf '\nmake test: every step passed, %s s\n' $$((SECONDS - start))

bench: needs-build ## microbenchmarks and the load run, release build
	@$(STEP) "benches" cargo bench --locked -p privet-benches

lint: fmt-check deny seeded-bugs clippy ## format, supply chain and clippy alone

fmt-check: needs-test
	@$(STEP) "format" cargo fmt --all --check

clippy: needs-test
	@$(STEP) "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings

deny: needs-test
	@$(STEP) "licences, bans, sources" tools/deny

seeded-bugs: ## whether each seeded privacy bug still fits the sources; tools/dp-seeded-bugs tries them all
	@$(STEP) "seeded privacy bugs fit" tools/dp-seeded-bugs --check

binaries: needs-build
	@$(STEP) "debug build" cargo build --locked -p privet -p privet-audit

unit: needs-test
	@$(STEP) "cargo test, with doctests" cargo test --locked --workspace

tree: binaries
	@$(STEP) "what is linked" tools/tree $(TARGET)

template: binaries ## a policy team's repository: what its check lets pass and what it refuses
	@$(STEP) "policy template" tools/template-tests $(TARGET)/debug/privet

fuzz: needs-test ## a seeded slice of the fuzz targets; tools/fuzz TARGET SECONDS is the long run
	@$(STEP) "fuzz, the policy compiler" tools/fuzz policy runs=20000
	@$(STEP) "fuzz, a request through the shipped policies" tools/fuzz apply runs=40000
	@$(STEP) "fuzz, consent strings" tools/fuzz signals runs=20000

helm: binaries needs-test
	@$(STEP) "chart" tools/helm-tests $(TARGET)/debug/privet

consent: binaries needs-test ## a slice of the comparison with the reference decoders; tools/consent-differential BIN 10000 is the long run
	@$(STEP) "consent decoders beside the reference decoders" tools/consent-differential $(TARGET)/debug/privet

clients: binaries needs-test
	@$(STEP) "real clients" tools/client-tests $(TARGET)/debug/privet $(TARGET)/debug/privet-audit

console: binaries needs-test ## the auditors' page: built anew and compared, used in a browser; pictures in target/console
	@$(STEP) "console" tools/console-tests $(TARGET)/debug/privet

needs-build:
	@tools/needs build

needs-test:
	@tools/needs test
