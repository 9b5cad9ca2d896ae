"""How a server is reached: address, credentials, options of the channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc

from assay.retry import Retry

DEFAULT_TARGET = "127.0.0.1:50051"
"""Where `assay serve` listens unless told otherwise."""

MESSAGE_MAX = 64 << 20
"""Longest message that is received, in bytes; a shard's verdicts come in one."""

_OPTIONS: dict[str, int] = {
    "grpc.max_receive_message_length": MESSAGE_MAX,
    # A peer that is gone without a word is noticed after 10 + 10 seconds, also while nothing is sent.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.http2.max_pings_without_data": 0,
    # After a restart of the server the next try should not wait for the library's own two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 3_000,
    "grpc.max_reconnect_backoff_ms": 3_000,
    # Two clients in one process have a connection each.
    "grpc.use_local_subchannel_pool": 1,
}


@dataclass(frozen=True)
class Connection:
    """Everything that a client needs to know of its server."""

    target: str = DEFAULT_TARGET
    """`HOST:PORT`, `http://HOST:PORT`, `https://HOST:PORT`, or any other name that gRPC resolves."""
    credentials: grpc.ChannelCredentials | None = None
    """For TLS; None means plain text, or the system's root certificates where the target begins with `https://`."""
    metadata: tuple[tuple[str, str], ...] = ()
    """Sent with every call, such as an `authorization`."""
    timeout: float = 60.0
    """Seconds that a single call may take; uploads and streams have no limit."""
    retry: Retry = Retry()
    options: tuple[tuple[str, Any], ...] = ()
    """Further channel arguments of gRPC, which go before the client's own."""

    @property
    def address(self) -> str:
        """The target without a scheme of the web."""
        return self.target.removeprefix("http://").removeprefix("https://").rstrip("/")

    @property
    def secrets(self) -> grpc.ChannelCredentials | None:
        """Credentials of the channel; None for plain text."""
        if self.credentials is None and self.target.startswith("https://"):
            return grpc.ssl_channel_credentials()
        return self.credentials

    def arguments(self) -> list[tuple[str, Any]]:
        """Channel arguments with the caller's on top."""
        return list({**_OPTIONS, **dict(self.options)}.items())
