#!/bin/sh
# Makes the stubs under assayv1 from the contract in proto/, or says with --check whether they are current.
#
# Needs Go, and buf as the Makefile installs it. The plugins come in the versions below, since others write other text.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
buf="${BUF:-$root/target/tools/bin/buf}"
plugins="$root/target/tools/go-plugins"
test -x "$buf" || { echo "$buf is missing: run \`make proto\`, or set BUF" >&2; exit 1; }

GOBIN="$plugins" go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
GOBIN="$plugins" go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# The contract names no package of a language; its files are mapped to this one.
package=$(sed -n 's/^module //p' go.mod)/assayv1
options='"paths=source_relative"'
for file in "$root"/proto/assay/v1/*.proto; do
    options="$options, \"Massay/v1/$(basename "$file")=$package\""
done
plugin() {
    echo "{\"local\": \"$plugins/$1\", \"out\": \"$out\", \"opt\": [$options]}"
}
# The Open Inference Protocol is others', and has clients of its own.
"$buf" generate "$root/proto" --path "$root/proto/assay" --template \
    "{\"version\": \"v2\", \"plugins\": [$(plugin protoc-gen-go), $(plugin protoc-gen-go-grpc)]}"

if [ "${1:-}" = --check ]; then
    diff -r "$out/assay/v1" assayv1 >&2 || { echo "not current: run clients/go/generate.sh" >&2; exit 1; }
else
    rm -rf assayv1
    cp -r "$out/assay/v1" assayv1
fi
