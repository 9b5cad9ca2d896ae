"""For test suites: a model that is not robust enough fails a test, with figures and cases."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from assay.calls import JobOptions
from assay.cases import CasesLike
from assay.client import Client
from assay.convert import CheckLike
from assay.errors import InvalidRequest
from assay.local import LocalServer
from assay.resources import ModelLike, SuiteLike
from assay.run import Run
from assay.upload import ModelSource, SignatureLike
from assay.verdict import Gate, Report, Verdict

if TYPE_CHECKING:
    from typing_extensions import Unpack

__tracebackhide__ = True

SHOWN = 10
"""Broken cases that a failure shows."""


def assert_robust(
    model: ModelLike | ModelSource,
    cases: SuiteLike | CasesLike,
    checks: Iterable[CheckLike] = (),
    gates: Iterable[str] = (),
    *,
    server: Client | str | None = None,
    signature: SignatureLike = "",
    slots: int | None = None,
    **options: Unpack[JobOptions],
) -> Report:
    """Runs a job and raises AssertionError unless every gate lets the model through; gives the report.

    `server` is a client, such as the fixture `assay_client`, or the address of a server. Without one the program
    `assay` is started for this call, with `slots` workers (see `assay.local.find_binary`). The other arguments are
    those of `Client.run`. A check without a gate asserts nothing: there has to be one, here or in the suite.
    """
    with ExitStack() as stack:
        if server is None:
            server = stack.enter_context(LocalServer(slots=slots)).target
        if isinstance(server, str):
            server = stack.enter_context(Client(server))
        run = server.run(model, cases, checks, gates=gates, signature=signature, **options)
        report = run.report()
        if not report.gates:
            raise InvalidRequest.of("gates", "there is none; a condition such as `clean.accuracy >= 0.9` was expected")
        if report.verdict == "pass":
            return report
        message = explain(report, run)
    raise AssertionError(message)


def explain(report: Report, run: Run) -> str:
    """Why a report did not pass: the gates with their figures, and the first cases behind those that failed."""
    failed = [gate for gate in report.gates if not gate.passed]
    lines = [f"{len(failed)} of {len(report.gates)} gates failed ({run.name})"]
    lines += [_gate(gate) for gate in sorted(report.gates, key=lambda gate: gate.passed)]
    verdicts = run.verdicts()
    unjudged = [verdict for verdict in verdicts if verdict.outcome == "failed"]
    lines += _some("without a verdict", unjudged)
    if report.verdict == "incomplete" and not unjudged:
        lines.append(f"the job has ended early, its state is {run.state}")
    concerned = [verdict for verdict in verdicts if any(_concerns(gate, verdict) for gate in failed)]
    lines += _some("broken", [verdict for verdict in concerned if verdict.outcome == "broken"])
    return "\n".join(lines)


def _gate(gate: Gate) -> str:
    return f"  {gate.outcome.upper():12} {gate.gate}: {gate.message or _figures(gate)}"


def _figures(gate: Gate) -> str:
    metric = gate.metric
    if metric is None:
        return "there is no figure"
    rate = "" if metric.count is None else f", {metric.count} of {metric.n}"
    return f"{metric.value:.4g} in [{metric.low:.4g}, {metric.high:.4g}]{rate}"


def _concerns(gate: Gate, verdict: Verdict) -> bool:
    """Whether a gate's check is the verdict's: named by SPEC, by name, or by name and parameters of one point."""
    left = re.split(r"[<>]=", gate.gate)[0].strip()
    named = left.rpartition(".")[0]
    probe, _, params = named.partition(":")
    own = {f"{name}={value}" for name, value in verdict.params.items()}
    return named == verdict.check or (probe == verdict.probe and set(filter(None, params.split(","))) <= own)


def _some(what: str, verdicts: list[Verdict]) -> list[str]:
    if not verdicts:
        return []
    more = f", the first {SHOWN}" if len(verdicts) > SHOWN else ""
    return [f"{len(verdicts)} {what}{more}:", *map(_case, verdicts[:SHOWN])]


def _case(verdict: Verdict) -> str:
    point = ", ".join(f"{name}={value}" for name, value in verdict.params.items())
    what = verdict.reason or f"expected {_answer(verdict.label)}, got {_answer(verdict.predicted)}"
    if not verdict.reason and verdict.predicted_clean not in (None, verdict.predicted):
        what += f" (clean {_answer(verdict.predicted_clean)})"
    return f"  case {verdict.case_id} under {verdict.probe}{f' ({point})' if point else ''}: {what}"


def _answer(answer: float | None) -> str:
    return "nothing" if answer is None else f"{answer:g}"
