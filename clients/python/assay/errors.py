"""What can go wrong, a class for each kind that a caller can do something about.

The client never raises `grpc.RpcError`: every status of the server becomes one of these, with its rich details.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class Violation(NamedTuple):
    """One wrong field of a request."""

    field: str
    """Path of the field, such as `checks[2].params.steps`; empty if the whole request is meant."""
    message: str
    """What was found and what was expected."""


class AssayError(Exception):
    """Root of all errors of the client."""

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    reason: str = ""
    """Machine-readable reason (`google.rpc.ErrorInfo`), empty if none was given."""
    retry_after: float | None = None
    """Seconds to wait before another try, if the server said so (`google.rpc.RetryInfo`)."""


class InvalidRequest(AssayError):
    """The request is wrong; `violations` names every wrong field. Also raised for arguments that cannot be sent."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    violations: tuple[Violation, ...] = ()

    @classmethod
    def of(cls, field: str, message: str) -> InvalidRequest:
        """The error of a single field."""
        error = cls(f"{field}: {message}")
        error.violations = (Violation(field, message),)
        return error


class NotFound(AssayError):
    """The named resource does not exist (or was deleted)."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(AssayError):
    """The resource exists with other content, such as a `request_id` used for another job."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(AssayError):
    """The request is right but the state does not allow it, such as deleting a model that a running job uses."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class ResourceExhausted(AssayError):
    """A limit of the server was reached; the message names it with its value."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class PermissionDenied(AssayError):
    """The caller may not do this, or is not known."""

    code = grpc.StatusCode.PERMISSION_DENIED


class DataLoss(AssayError):
    """Bytes are not what they should be: a wrong checksum, a torn file."""

    code = grpc.StatusCode.DATA_LOSS


class Cancelled(AssayError):
    """The call or the job was cancelled."""

    code = grpc.StatusCode.CANCELLED


class DeadlineExceeded(AssayError):
    """The deadline of the call passed."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unavailable(AssayError):
    """The server cannot be reached, even after the client's own retries."""

    code = grpc.StatusCode.UNAVAILABLE


class InternalError(AssayError):
    """A defect of the server or of its machine."""

    code = grpc.StatusCode.INTERNAL


_CLASSES: dict[grpc.StatusCode, type[AssayError]] = {
    **{
        kind.code: kind
        for kind in (
            InvalidRequest,
            NotFound,
            AlreadyExists,
            FailedPrecondition,
            ResourceExhausted,
            PermissionDenied,
            DataLoss,
            Cancelled,
            DeadlineExceeded,
            Unavailable,
            InternalError,
        )
    },
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: PermissionDenied,
}


def from_rpc(rpc: grpc.RpcError) -> AssayError:
    """The error that a failed call stands for, with the details that came with its status."""
    if not isinstance(rpc, (grpc.Call, grpc.aio.AioRpcError)):
        return AssayError(str(rpc))
    code = rpc.code()
    error = _CLASSES.get(code, AssayError)(rpc.details() or code.name)
    error.code = code
    _add_details(error, rpc)
    return error


def _add_details(error: AssayError, call: grpc.Call | grpc.aio.AioRpcError) -> None:
    try:
        status = rpc_status.from_call(cast(grpc.Call, call))  # It reads what both kinds have.
    except ValueError:
        return  # The details contradict the status: the status alone is believed.
    for detail in status.details if status else ():
        bad, info, retry = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(bad) and isinstance(error, InvalidRequest):
            error.violations += tuple(Violation(v.field, v.description) for v in bad.field_violations)
        elif detail.Unpack(info):
            error.reason = info.reason
        elif detail.Unpack(retry):
            error.retry_after = retry.retry_delay.ToTimedelta().total_seconds()
