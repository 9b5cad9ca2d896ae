#!/bin/sh
# Makes target/dist from the release build: an archive with the program, and a Python wheel that carries it.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
grep -qx "version = \"$version\"" clients/python/pyproject.toml || { echo "the client's version is not $version" >&2; exit 1; }
dist=target/dist
name=assay-$version-$(uname -m)-linux
rm -rf "$dist"
mkdir -p "$dist/$name"

python3 packaging/licences.py "$dist/$name/LICENSE-THIRD-PARTY"
cp -r schema target/release/assay README.md LICENSE-APACHE LICENSE-MIT "$dist/$name"
# The program carries the digits and the network of its demo.
cp tests/data/NOTICE.md "$dist/$name/NOTICE.md"
tar -C "$dist" --owner=0 --group=0 -czf "$dist/$name.tar.gz" "$name"

ASSAY_WHEEL=$PWD/$dist/$name python3 -m pip wheel --quiet --disable-pip-version-check --no-deps \
    --wheel-dir "$dist" clients/python
rm -r "${dist:?}/$name"
ls -l "$dist"
