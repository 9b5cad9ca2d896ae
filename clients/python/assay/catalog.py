"""What the server says of itself: its probes and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assay.convert import to_accesses, to_dict
from assay.v1 import catalog_pb2


@dataclass(frozen=True)
class Probe:
    """A member of a family of probes, with its manual."""

    name: str
    family: str
    """`clean`, `corruption`, `attack`, `explainer` or `audit`."""
    summary: str
    manual: str
    parameters: dict[str, Any]
    """JSON schema: defaults, bounds, units, aliases."""
    paper: str
    accesses: tuple[str, ...]
    cost: str
    """Forward passes of one case, as a formula over the parameters."""

    @classmethod
    def from_pb(cls, pb: catalog_pb2.Probe) -> Probe:
        """The probe in a message."""
        schema, accesses = to_dict(pb.parameters), to_accesses(pb.accesses)
        return cls(pb.name, pb.family, pb.summary, pb.manual, schema, pb.paper, accesses, pb.cost)


@dataclass(frozen=True)
class ServerInfo:
    """What a server is and how much it takes."""

    version: str
    engine: str
    slots: int
    limits: dict[str, int]

    @classmethod
    def from_pb(cls, pb: catalog_pb2.ServerInfo) -> ServerInfo:
        """The facts in a message."""
        return cls(pb.version, pb.engine, pb.slots, dict(pb.limits))
