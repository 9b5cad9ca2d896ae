"""DataFrames in and out. pandas is imported only here, and only when it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from assay.errors import InvalidRequest

if TYPE_CHECKING:
    import pandas

    from assay.verdict import Report, Verdict

LABELS = ("label", "target", "class", "y")
"""Names under which a label's column is found unless it is named, as in files of the command line."""


def is_frame(value: object) -> TypeGuard[pandas.DataFrame]:
    """Whether this is a DataFrame of pandas, without importing it for those who have none."""
    module: Any = sys.modules.get("pandas")
    return module is not None and isinstance(value, module.DataFrame)


def split(frame: pandas.DataFrame, label: str, tags: Sequence[str]) -> tuple[Any, Any, dict[str, list[Any]]]:
    """Features as float32 (rows, columns), answers (None if there is no label's column), tags by name.

    Every column that is neither the label's nor a tag's is a feature; a missing value is NaN.
    """
    columns = [str(column) for column in frame.columns]
    for name in (*tags, *([label] if label else ())):
        if name not in columns:
            raise InvalidRequest.of("cases", f"the frame has no column `{name}`; it has {', '.join(columns)}")
    label = label or next((name for name in LABELS if name in columns and name not in tags), "")
    features = [i for i, name in enumerate(columns) if name != label and name not in tags]
    x = np.empty((len(frame), len(features)), np.float32)
    for place, i in enumerate(features):
        x[:, place] = _numbers(frame.iloc[:, i], columns[i])
    further = {name: frame.iloc[:, columns.index(name)].tolist() for name in tags}
    return x, _answers(frame.iloc[:, columns.index(label)], label) if label else None, further


def _numbers(column: pandas.Series[Any], name: str) -> Any:
    numbers = _pandas().to_numeric(column, errors="coerce")
    wrong = np.flatnonzero((numbers.isna() & column.notna()).to_numpy())
    if len(wrong):
        found = f"row {wrong[0]}, column {name}: `{column.iloc[wrong[0]]}` was found, a number was expected"
        raise InvalidRequest.of("cases", found)
    return numbers.to_numpy(dtype=np.float32, na_value=np.nan)


def _answers(column: pandas.Series[Any], name: str) -> Any:
    if (missing := np.flatnonzero(column.isna().to_numpy())).size:
        raise InvalidRequest.of("cases", f"row {missing[0]}, column {name}: the label is missing")
    kind = getattr(column.dtype, "numpy_dtype", column.dtype)
    if isinstance(kind, np.dtype) and kind.kind in "biuf":
        return column.to_numpy(dtype=kind)
    return column.astype(str).to_numpy(dtype=np.str_)


def verdicts(rows: Iterable[Verdict]) -> pandas.DataFrame:
    """A row for each verdict; parameters and measures in columns of their own, such as `params.severity`."""
    return _frame(
        {
            "case": v.case_id,
            "case_index": v.case_index,
            "check": v.check,
            "name": v.probe,
            **_under("params", v.params),
            "outcome": v.outcome,
            "reason": v.reason,
            "label": v.label,
            "predicted_clean": v.predicted_clean,
            "predicted": v.predicted,
            **_under("measures", v.measures),
            "seed": v.seed,
        }
        for v in rows
    )


def metrics(report: Report) -> pandas.DataFrame:
    """A row for each metric of each check, with its interval."""
    return _frame(
        {
            "check": check.check,
            "name": check.name,
            **_under("params", check.params),
            "metric": metric.name,
            "slice": metric.slice,
            "value": metric.value,
            "low": metric.low,
            "high": metric.high,
            "n": metric.n,
            "count": metric.count,
        }
        for check in report.checks
        for metric in check.metrics
    )


def _frame(rows: Iterable[dict[str, Any]]) -> pandas.DataFrame:
    frame: pandas.DataFrame = _pandas().DataFrame(rows)
    return frame


def _under(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _pandas() -> ModuleType:
    try:
        import pandas
    except ImportError as error:
        raise ImportError("pandas is not installed: pip install 'assay[pandas]'") from error
    return pandas
