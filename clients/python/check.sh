#!/bin/sh
# Checks the Python client: stubs current, style and types sound, and the tests, which drive the real server.
#
# The server is target/debug/assay unless ASSAY_BIN names another. What is needed beside Python 3.10 or newer goes into
# target/python-venv, anew when requirements-test.txt changes.
set -eu
cd "$(dirname "$0")"
venv=../../target/python-venv
export ASSAY_BIN="${ASSAY_BIN:-$PWD/../../target/debug/assay}"
test -x "$ASSAY_BIN" || { echo "$ASSAY_BIN is missing: run \`cargo build\`, or set ASSAY_BIN" >&2; exit 1; }

if ! cmp -s requirements-test.txt "$venv/installed.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement requirements-test.txt
    cp requirements-test.txt "$venv/installed.txt"
fi
"$venv/bin/python" generate.py --check
"$venv/bin/ruff" check --quiet .
"$venv/bin/ruff" format --check --quiet .
"$venv/bin/mypy" --strict
"$venv/bin/python" -m pytest "$@"
