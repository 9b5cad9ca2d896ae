"""Client of assay, a gRPC service that says how far a machine-learning model can be trusted.

import assay

with assay.Client("127.0.0.1:50051") as client:
    run = client.run("model.onnx", (x, y), ["clean", "gaussian_noise"], gates=["clean.accuracy >= 0.9"])
    for verdict in run:
        print(verdict.case_id, verdict.check, verdict.outcome)
    print(run.report().verdict)
"""

from assay.calls import JobOptions
from assay.cases import CasesLike
from assay.catalog import Probe, ServerInfo
from assay.client import Client
from assay.connection import Connection
from assay.convert import CheckLike
from assay.errors import (
    AlreadyExists,
    AssayError,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    Violation,
)
from assay.resources import Artifact, Inspection, Job, Model, Progress, Suite, TensorFact
from assay.retry import Retry
from assay.run import Run
from assay.upload import ModelSource, SignatureLike
from assay.verdict import CheckReport, Finding, Gate, Metric, Report, Verdict

__all__ = [
    "AlreadyExists",
    "Artifact",
    "AssayError",
    "Cancelled",
    "CasesLike",
    "CheckLike",
    "CheckReport",
    "Client",
    "Connection",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Finding",
    "Gate",
    "Inspection",
    "InternalError",
    "InvalidRequest",
    "Job",
    "JobOptions",
    "Metric",
    "Model",
    "ModelSource",
    "NotFound",
    "PermissionDenied",
    "Probe",
    "Progress",
    "Report",
    "ResourceExhausted",
    "Retry",
    "Run",
    "ServerInfo",
    "SignatureLike",
    "Suite",
    "TensorFact",
    "Unavailable",
    "Verdict",
    "Violation",
]
