"""What a job says: verdicts a case, findings and the report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from assay import frames
from assay.convert import to_dict, word
from assay.v1 import jobs_pb2

if TYPE_CHECKING:
    import pandas

Outcome = Literal["held", "broken", "skipped", "failed"]
GateOutcome = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """One case under one point of one check."""

    case_id: str
    case_index: int
    """Position of the case in the suite."""
    check: str
    """The check as it was asked for."""
    check_index: int
    """Position of the check in the job."""
    probe: str
    params: dict[str, Any]
    """The probe's parameters, defaults filled in."""
    outcome: Outcome
    reason: str
    """Why it was skipped or failed; else empty."""
    label: float | None
    """Expected class index or value; None if nothing is expected."""
    predicted_clean: float | None
    """Class index or value that the model gave before probing."""
    predicted: float | None
    """Class index or value that the model gave under the probe."""
    measures: dict[str, float]
    seed: int

    @classmethod
    def from_pb(cls, pb: jobs_pb2.Verdict) -> Verdict:
        """The verdict in a message."""
        return cls(
            case_id=pb.case_id,
            case_index=pb.case_index,
            check=pb.check,
            check_index=pb.check_index,
            probe=pb.probe,
            params=to_dict(pb.params),
            outcome=cast(Outcome, word(jobs_pb2.Outcome.Name(pb.outcome), "OUTCOME_")),
            reason=pb.reason,
            label=pb.label if pb.HasField("label") else None,
            predicted_clean=pb.predicted_clean if pb.HasField("predicted_clean") else None,
            predicted=pb.predicted if pb.HasField("predicted") else None,
            measures=dict(pb.measures),
            seed=pb.seed,
        )


def in_case_order(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Verdicts in the order of cases, then checks, then points; a job gives them as its shards end."""
    # Points of a case come in order, and the sort is stable.
    return sorted(verdicts, key=lambda verdict: (verdict.case_index, verdict.check_index))


@dataclass(frozen=True)
class Finding:
    """A statement about the whole job or a check, such as a sign that an evaluation is not to be trusted."""

    kind: str
    check: str
    """The check as it was asked for; empty if the job is meant."""
    message: str
    details: dict[str, Any]

    @classmethod
    def from_pb(cls, pb: jobs_pb2.Finding) -> Finding:
        """The finding in a message."""
        return cls(kind=pb.kind, check=pb.check, message=pb.message, details=to_dict(pb.details))


@dataclass(frozen=True)
class Metric:
    """A figure with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    n: int
    """Denominator."""
    count: int | None
    """Numerator of a rate; None for other figures."""
    slice: str
    """`tag=value` for a part of the suite; empty for all of it."""

    @classmethod
    def from_pb(cls, pb: jobs_pb2.Metric) -> Metric:
        """The metric in a message."""
        count = pb.count if pb.HasField("count") else None
        return cls(name=pb.name, value=pb.value, low=pb.low, high=pb.high, n=pb.n, count=count, slice=pb.slice)


@dataclass(frozen=True)
class CheckReport:
    """All metrics of a check."""

    check: str
    """The check as it was asked for."""
    name: str
    """Name of the probe."""
    params: dict[str, Any]
    metrics: tuple[Metric, ...]

    @classmethod
    def from_pb(cls, pb: jobs_pb2.CheckReport) -> CheckReport:
        """The check's part of a report's message."""
        metrics = tuple(map(Metric.from_pb, pb.metrics))
        return cls(check=pb.check, name=pb.name, params=to_dict(pb.params), metrics=metrics)

    def metric(self, name: str, slice: str = "") -> Metric:
        """The metric of that name. Raises KeyError if there is none."""
        for metric in self.metrics:
            if (metric.name, metric.slice) == (name, slice):
                return metric
        raise KeyError(f"{self.check} has no metric {name}{f' for {slice}' if slice else ''}")


@dataclass(frozen=True)
class Gate:
    """A condition on a metric, decided."""

    gate: str
    """The condition as it was asked for."""
    outcome: GateOutcome
    passed: bool
    """Whether the outcome lets a release through, by the gate's policy."""
    metric: Metric | None
    message: str

    @classmethod
    def from_pb(cls, pb: jobs_pb2.GateReport) -> Gate:
        """The gate in a report's message."""
        outcome = cast(GateOutcome, word(jobs_pb2.GateOutcome.Name(pb.outcome), "GATE_OUTCOME_"))
        metric = Metric.from_pb(pb.metric) if pb.HasField("metric") else None
        return cls(gate=pb.gate, outcome=outcome, passed=pb.passed, metric=metric, message=pb.message)


@dataclass(frozen=True)
class Report:
    """Metrics and gates over the verdicts that were there."""

    checks: tuple[CheckReport, ...]
    findings: tuple[Finding, ...]
    gates: tuple[Gate, ...]
    verdict: Literal["pass", "fail", "incomplete"]
    """`incomplete` while verdicts are missing or failed."""
    counts: dict[str, int]
    """Verdicts by outcome."""

    @classmethod
    def from_pb(cls, pb: jobs_pb2.Report) -> Report:
        """The report in a message."""
        return cls(
            checks=tuple(map(CheckReport.from_pb, pb.checks)),
            findings=tuple(map(Finding.from_pb, pb.findings)),
            gates=tuple(map(Gate.from_pb, pb.gates)),
            verdict=cast(Literal["pass", "fail", "incomplete"], pb.verdict),
            counts=dict(pb.counts),
        )

    def check(self, check: str) -> CheckReport:
        """The first report of a check, by SPEC or by name. Raises KeyError if there is none."""
        for report in self.checks:
            if check in (report.check, report.name):
                return report
        raise KeyError(f"the report has no check {check}")

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each metric of each check, with its interval."""
        return frames.metrics(self)
