"""Lets a wheel carry the program: with ASSAY_WHEEL naming a folder with `assay` and its licences, they go into it.

Without that variable the wheel holds the client alone and fits every platform.
"""

from __future__ import annotations

import os
import platform
import re
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


def platform_tag(program: Path) -> str:
    """The oldest manylinux on which a program runs, by the newest symbol that it wants of glibc (PEP 600)."""
    if platform.system() != "Linux":
        raise RuntimeError("wheels with the program are made on Linux only")
    wanted = re.findall(rb"GLIBC_2\.([0-9]+)", program.read_bytes())
    if not wanted:
        raise RuntimeError(f"{program} wants nothing of glibc, so that its platform is not known")
    return f"manylinux_2_{max(map(int, wanted))}_{platform.machine()}"
