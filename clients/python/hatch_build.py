"""Lets a wheel carry the program: with ASSAY_WHEEL naming a folder with `assay` and its licences, they go into it.

Without that variable the wheel holds the client alone and fits every platform.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProgramHook(BuildHookInterface):  # type: ignore[misc]  # It has no types.
    """Called by hatchling for each build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the program as the command `assay`, and says on which machines it runs."""
        named = os.environ.get("ASSAY_WHEEL")
        if self.target_name != "wheel" or not named:
            return
        folder = Path(named)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(folder / 'assay')}"
        build_data["shared_scripts"][str(folder / "assay")] = "assay"
        for name in ("LICENSE-THIRD-PARTY", "NOTICE.md"):
            build_data["extra_metadata"][str(folder / name)] = name


SYSTEM = re.compile(r"(linux-vdso|ld-linux[\w-]*|libc|libm|libgcc_s|libpthread|libdl|librt)\.so")
"""Libraries that every system has on which a manylinux wheel may be installed (PEP 600)."""


def platform_tag(program: Path) -> str:
    """The oldest manylinux on which a program runs, by the newest symbol that it wants of glibc (PEP 600)."""
    if platform.system() != "Linux":
        raise RuntimeError("wheels with the program are made on Linux only")
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = [Path(line.split()[0]).name for line in listed.splitlines()]
    if foreign := [library for library in libraries if not SYSTEM.match(library)]:
        raise RuntimeError(f"{program} needs {', '.join(foreign)}, which not every system has")
    wanted = re.findall(rb"GLIBC_2\.([0-9]+)", program.read_bytes())
    if not wanted:
        raise RuntimeError(f"{program} wants nothing of glibc, so that its platform is not known")
    return f"manylinux_2_{max(map(int, wanted))}_{platform.machine()}"
