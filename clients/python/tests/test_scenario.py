"""The scenario that every client and the command line carry out gives the same verdicts, to the bit."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any

import assay
from tests.server import BINARY, REPOSITORY

FOLDER = REPOSITORY / "clients"


def test_the_scenario_gives_the_verdicts_of_the_command_line(client: assay.Client) -> None:
    """Also leaves `target/scenario/python.jsonl`, to be compared with Go's."""
    scenario = json.loads((FOLDER / "scenario.json").read_text())
    # Paths are relative to the file.
    scenario["model"], scenario["cases"] = (str(FOLDER / scenario[name]) for name in ("model", "cases"))
    ours = canonical_lines(from_client(client, scenario))
    assert ours == canonical_lines(from_command_line(scenario))
    out = REPOSITORY / "target" / "scenario"
    out.mkdir(parents=True, exist_ok=True)
    (out / "python.jsonl").write_text(ours, encoding="utf-8")


def from_client(client: assay.Client, scenario: dict[str, Any]) -> Iterator[dict[str, Any]]:
    model, cases, checks = (scenario[name] for name in ("model", "cases", "checks"))
    options = {name: scenario[name] for name in ("gates", "seed", "limit")}
    run = client.run(model, cases, checks, **options)
    for v in run.verdicts():
        yield {
            "case": v.case_id,
            "check": v.check,
            "name": v.probe,
            "params": v.params,
            "outcome": v.outcome,
            "label": v.label,
            "predicted_clean": v.predicted_clean,
            "predicted": v.predicted,
            "measures": v.measures,
            "seed": v.seed,
        }
    report = run.report()
    for gate in report.gates:
        assert gate.metric is not None
        figures = {"value": gate.metric.value, "low": gate.metric.low, "high": gate.metric.high}
        yield {"gate": gate.gate, "outcome": gate.outcome, "passed": gate.passed, **figures}
    yield {"verdict": report.verdict}


def from_command_line(scenario: dict[str, Any]) -> Iterator[dict[str, Any]]:
    arguments = ["run", "--output", "jsonl"]
    for name in ("model", "cases", "seed", "limit"):
        arguments += [f"--{name}", str(scenario[name])]
    for name in ("check", "gate"):
        for text in scenario[f"{name}s"]:
            arguments += [f"--{name}", text]
    ran = subprocess.run([BINARY, *arguments], capture_output=True, text=True)
    # A gate that fails is an answer too.
    assert ran.returncode in (0, 1), ran.stderr
    *verdicts, last = map(json.loads, ran.stdout.splitlines())
    yield from verdicts
    for gate in last["report"]["gates"]:
        figures = {name: gate["metric"][name] for name in ("value", "low", "high")}
        yield {"gate": gate["gate"], "outcome": gate["outcome"].lower(), "passed": gate["passed"], **figures}
    yield {"verdict": last["report"]["verdict"]}


def canonical_lines(lines: Iterable[dict[str, Any]]) -> str:
    """JSON with sorted names and without blanks, a line each."""
    return "".join(
        json.dumps(canonical(line), sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines
    )


def canonical(value: Any) -> Any:
    """Numbers as the bits of a double in hexadecimal, since languages write them in ways of their own."""
    if isinstance(value, dict):
        return {name: canonical(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [canonical(entry) for entry in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return struct.pack(">d", value).hex()
    return value
