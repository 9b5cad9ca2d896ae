"""How broken connections are met."""

from __future__ import annotations

import random
from dataclasses import dataclass

import grpc

from assay.errors import AssayError


@dataclass(frozen=True)
class Retry:
    """How long and how often the client tries again. All times are in seconds."""

    patience: float = 60.0
    """A stream of results is given up after this time without progress."""
    silence: float = 45.0
    """A stream on which nothing at all comes for this time is taken as dead; the server sends a heartbeat every 15."""
    attempts: int = 6
    """How often a single call or an upload is tried in all; with the other defaults that takes three seconds."""
    first: float = 0.1
    """Longest wait before the first retry; it doubles with every failure."""
    longest: float = 5.0
    """Longest wait between two tries."""

    def delay(self, failures: int, error: AssayError) -> float:
        """Wait after `failures` failures in a row: exponential with jitter, or longer if the server asked for it."""
        ceiling = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return max(random.uniform(ceiling / 2, ceiling), error.retry_after or 0.0)


class Tries:
    """The tries of one call or upload."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self.failures = 0

    def failed(self, error: AssayError) -> float:
        """Seconds to wait before the next try. Raises `error` if there is none."""
        self.failures += 1
        if self.failures >= self._retry.attempts or not is_passing(error):
            raise error from None
        return self._retry.delay(self.failures, error)


_AMBIGUOUS = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL)
_TRANSPORT = ("rst_stream", "stream removed", "goaway", "connection", "socket", "transport", "h2 protocol error")


def is_broken(error: AssayError) -> bool:
    """Whether the connection broke, as opposed to the server having answered with an error.

    A reset stream reaches the caller under several codes that a server may also send itself; the transport's own
    messages tell the two apart.
    """
    if error.code in _AMBIGUOUS:
        return any(word in str(error).lower() for word in _TRANSPORT)
    return error.code == grpc.StatusCode.UNAVAILABLE


def is_passing(error: AssayError) -> bool:
    """Whether another try may help: the connection broke, or the server asked for a later try."""
    return is_broken(error) or error.retry_after is not None
