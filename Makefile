# `make test` is the one command that says whether the tree is sound. It needs a Rust toolchain and python3; what else
# it needs it installs into target/tools.

TOOLS := target/tools
BUF := $(TOOLS)/bin/buf

.PHONY: test rust proto python go scenario dist
test: rust proto python go scenario

rust:
	cargo fmt --all --check
	cargo check --locked --lib --no-default-features
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked

proto: $(BUF)
	cd proto && ../$(BUF) lint

# The clients' tests drive the server that `cargo test` has built.
python: rust
	clients/python/check.sh

go: rust proto
	clients/go/check.sh

# Each client has compared its verdicts of clients/scenario.json with the command line's.
scenario: python go
	cmp target/scenario/python.jsonl target/scenario/go.jsonl

$(BUF):
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check buf-bin==1.75.0

# An archive and a Python wheel with the program in them, under target/dist; both are tried in a clean folder.
dist:
	cargo build --release --locked
	packaging/dist.sh
	packaging/try.sh
