# `make test` is the one command that says whether the tree is sound. It needs a Rust toolchain and python3; what else
# it needs it installs into target/tools.

TOOLS := target/tools
BUF := $(TOOLS)/bin/buf
DENY := $(TOOLS)/bin/cargo-deny --locked check --hide-inclusion-graph

.PHONY: test rust deny proto python go scenario soak dist deploy-check sbom advisories
test: deny rust proto python go scenario

# The tests of the engine on NATS start the servers that are among the tools.
rust: $(TOOLS)/ready
	cargo fmt --all --check
	cargo check --locked --lib --no-default-features
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked

# Licences, banned crates and sources of all of Cargo.lock, as deny.toml allows them; asks nobody outside.
deny: $(TOOLS)/ready
	$(DENY) bans licenses sources

proto: $(TOOLS)/ready
	cd proto && ../$(BUF) lint

# The clients' tests drive the server that `cargo test` has built.
python: rust
	clients/python/check.sh

go: rust proto
	clients/go/check.sh

# Each client has compared its verdicts of clients/scenario.json with the command line's.
scenario: python go
	cmp target/scenario/python.jsonl target/scenario/go.jsonl

$(TOOLS)/ready: packaging/tools.sh
	packaging/tools.sh $(TOOLS)
	touch $@

# The tests that are random or of many rounds, with their full counts: an hour or two.
soak: $(TOOLS)/ready
	ASSAY_SOAK=1 cargo test --locked --release --test it -- --nocapture

# An archive and a Python wheel with the program in them, under target/dist; both are tried in a clean folder.
dist:
	cargo build --release --locked
	packaging/dist.sh
	python3 packaging/sbom.py target/dist/assay.cdx.json
	packaging/try.sh

# The manifests, configurations and image of deploy/. Not part of the test: it builds helm the first time, which takes minutes.
deploy-check:
	deploy/check.sh

# What the program is made of, in CycloneDX's JSON; the same tree gives the same bytes.
sbom:
	python3 packaging/sbom.py target/dist/assay.cdx.json

# Known holes in what is used. Not part of the test: it fetches RustSec's git repository, and what it says changes while the
# tree stands still.
advisories: $(TOOLS)/ready
	$(DENY) advisories
