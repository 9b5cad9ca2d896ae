# `make test` is the one command that says whether the tree is sound.

.PHONY: test
test:
	cargo fmt --all --check
	cargo check --locked --lib --no-default-features
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked
