"""Writes what the program is made of as a bill of materials in CycloneDX's JSON.

    python3 packaging/sbom.py FILE

What is linked into the program is `required`; what only builds it (build scripts, the compiler's plugins) is `excluded`, as
CycloneDX calls what does not run, and is there because it could have changed what does. The same tree gives the same bytes:
there is no serial number, and a time only where SOURCE_DATE_EPOCH names one.
"""

import json
import os
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

LOCKED = re.compile(r'name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(.+)"')


def cargo(*words: str) -> str:
    """What cargo says of the tree as locked."""
    return subprocess.check_output(["cargo", *words, "--locked"], text=True)


def crates(target: str, edges: str) -> set[tuple[str, str]]:
    """Names and versions along these kinds of edges. `cargo metadata` also counts what tests alone switch on."""
    lines = cargo("tree", "--target", target, "--edges", edges, "--prefix", "none", "--format", "{p}").splitlines()
    return {(name, version.removeprefix("v")) for name, version, *_ in map(str.split, filter(None, lines))}


def reference(package: dict) -> str:
    """The package URL of a crate of crates.io. The program itself is not there, where its name is another's."""
    kind = "cargo" if package["source"] else "generic"
    return f"pkg:{kind}/{package['name']}@{quote(package['version'], safe='')}"


def component(package: dict, kind: str) -> dict:
    """What a crate and the program have in common."""
    expression = re.sub(r"\s*/\s*", " OR ", package["license"])  # As crates wrote it before SPDX.
    return {
        "type": kind,
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "licenses": [{"expression": expression}],
        "purl": reference(package),
    }


def bill(target: str, checksums: dict[tuple[str, str], str]) -> dict:
    """The document."""
    built, linked = crates(target, "normal,build"), crates(target, "normal,no-proc-macro")
    tree = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", target))
    packages = {package["id"]: package for package in tree["packages"]}
    packages = {i: package for i, package in packages.items() if (package["name"], package["version"]) in built}
    root = tree["resolve"]["root"]

    components, dependencies = [], []
    for node in tree["resolve"]["nodes"]:
        package = packages.get(node["id"])
        if not package:
            continue
        needed = {dep["pkg"] for dep in node["deps"] if {kind["kind"] for kind in dep["dep_kinds"]} & {None, "build"}}
        needs = sorted(reference(packages[i]) for i in needed if i in packages)
        dependencies.append({"ref": reference(package), "dependsOn": needs})
        if node["id"] == root:
            continue
        name = package["name"], package["version"]
        entry = component(package, "library") | {
            "scope": "required" if name in linked else "excluded",
            "hashes": [{"alg": "SHA-256", "content": checksums[name]}],
        }
        if package["repository"]:
            entry["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        components.append(entry)

    about = {
        "component": component(packages[root], "application"),
        "properties": [{"name": "cargo:target", "value": target}],
    }
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        about["timestamp"] = datetime.fromtimestamp(int(epoch), timezone.utc).isoformat()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": about,
        "components": sorted(components, key=lambda entry: entry["bom-ref"]),
        "dependencies": sorted(dependencies, key=lambda entry: entry["ref"]),
    }


def main() -> None:
    checksums = {(name, version): sha for name, version, sha in LOCKED.findall(Path("Cargo.lock").read_text())}
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    target = re.search(r"host: (\S+)", subprocess.check_output(["rustc", "-vV"], text=True))[1]
    document = bill(target, checksums)
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    scopes = [entry["scope"] for entry in document["components"]]
    print(f"{file}: {scopes.count('required')} crates in the program, {scopes.count('excluded')} that only build it")


if __name__ == "__main__":
    main()
