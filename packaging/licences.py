"""Writes the licences of everything that is compiled into the program, as its licences ask of whoever passes it on.

    python3 packaging/licences.py FILE

Texts come from the crates themselves; equal texts are written once, with the crates that they belong to.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

TEXTS = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)


def linked() -> list[dict]:
    """Packages that the program is linked from: what it needs to run, not what builds or tests it."""
    host = re.search(r"host: (\S+)", subprocess.check_output(["rustc", "-vV"], text=True))[1]
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host]
    metadata = json.loads(subprocess.check_output(command))
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    seen, waiting = {root}, [root]
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]) and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    packages = [package for package in metadata["packages"] if package["id"] in seen - {root}]
    return sorted(packages, key=lambda package: (package["name"], package["version"]))


def texts(package: dict) -> list[str]:
    """The licence texts in a crate's folder."""
    folder = Path(package["manifest_path"]).parent
    found = {path for path in folder.iterdir() if path.is_file() and TEXTS.match(path.name)}
    if package["license_file"]:
        found.add((folder / package["license_file"]).resolve())
    return [path.read_text(errors="replace").strip() for path in sorted(found)]


def main() -> None:
    owners = defaultdict(list)
    lines = ["The program assay is linked from these Rust crates, under these licences.", ""]
    for package in linked():
        name = f"{package['name']} {package['version']}"
        found = texts(package)
        for text in found:
            owners[text].append(name)
        where = "" if found else f", text at {package['repository'] or 'https://spdx.org/licenses'}"
        lines.append(f"{name}: {package['license'] or 'see its text'}{where}")
    for text, names in owners.items():
        lines += ["", "-" * 100, "Of " + ", ".join(names), "", text]
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
