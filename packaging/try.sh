#!/bin/sh
# Tries what dist.sh made as a stranger would: the archive in an empty folder, the wheel in an empty environment.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# No Rust, no checkout: only what the system itself has.
export PATH=/usr/local/bin:/usr/bin:/bin
unset ASSAY_BIN PYTHONPATH
cp tests/models/mnist_cnn.onnx tests/data/mnist_test.npz packaging/test_wheel.py "$folder"

mkdir "$folder/archive"
tar -C "$folder/archive" -xzf "$root"/target/dist/assay-*-linux.tar.gz
cd "$folder/archive"/assay-*
ls LICENSE-APACHE LICENSE-MIT LICENSE-THIRD-PARTY NOTICE.md README.md
cd "$folder"
# Nothing of this shell's environment either.
alone() { env -i "$folder/archive"/assay-*/assay "$@"; }
alone run --model mnist_cnn.onnx --cases mnist_test.npz --limit 100 --check clean --gate 'clean.accuracy >= 0.9'
printf 'model: mnist_cnn.onnx\ncases: mnist_test.npz\nchecks: [clean]\nlimit: 100\n' > suite.yaml
alone run --suite suite.yaml --output markdown
alone doctor
alone completions bash | bash -n
alone catalog --schema | cmp - "$folder/archive"/assay-*/schema/suite.schema.json

# A venv of the newest pip's own choice of packages: the wheel's declared needs have to be enough.
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$root"/target/dist/assay-*.whl pytest
"$folder/venv/bin/assay" catalog clean
"$folder/venv/bin/python" -m pytest -q -p no:cacheprovider test_wheel.py
"$folder/venv/bin/pip" uninstall --quiet --yes assay
test ! -e "$folder/venv/bin/assay"
