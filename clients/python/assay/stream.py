"""A stream of results folded, message by message. Pure: it says what to ask for and what a failure means."""

from __future__ import annotations

import time
from collections import deque

from assay.errors import AssayError, Unavailable
from assay.resources import Job, JobState, Progress, job_state
from assay.retry import Retry, is_passing
from assay.v1 import jobs_pb2
from assay.verdict import Finding, Verdict


class Fold:
    """Where the reader of a job's stream is. Each verdict comes out once, however many connections it took."""

    def __init__(self, job: Job, retry: Retry, token: str) -> None:
        self._job = job.name
        self._retry = retry
        self._token = token
        self._batch_token = token
        self._waiting: deque[jobs_pb2.Verdict] = deque()
        self._failures = 0
        self._heard = time.monotonic()
        self.progress = job.progress
        self.state = job.state
        self.findings: list[Finding] = []
        self.ended = False

    def request(self) -> jobs_pb2.StreamResultsRequest:
        """Asks for what has not come yet."""
        return jobs_pb2.StreamResultsRequest(name=self._job, resume_token=self._token)

    @property
    def token(self) -> str:
        """Of the last batch that was taken out to its end; a stream from here repeats what was taken of the next."""
        return self._batch_token if self._waiting else self._token

    def pop(self) -> Verdict | None:
        """The next verdict that has come; None if another message is needed, or the job has ended."""
        return Verdict.from_pb(self._waiting.popleft()) if self._waiting else None

    def skip(self) -> None:
        """Drops the verdicts that have come."""
        self._waiting.clear()

    def take(self, response: jobs_pb2.StreamResultsResponse) -> None:
        """Takes in a message."""
        self._heard = time.monotonic()
        if response.resume_token != self._token:
            self._failures = 0
            self._batch_token, self._token = self._token, response.resume_token
        kind = response.WhichOneof("message")
        if kind == "verdicts":
            self._waiting.extend(response.verdicts.verdicts)
        elif kind == "finding":
            self.findings.append(Finding.from_pb(response.finding))
        elif kind == "progress":
            self.progress = Progress.from_pb(response.progress)
        elif kind == "done":
            self.state, self.ended = job_state(response.done.state), True

    def lost(self, error: AssayError) -> float:
        """Seconds to wait before the stream is opened again. Raises `error` if it is an answer, or patience is over."""
        if self._failures == 0:
            # A consumer may have taken its time; only waiting counts.
            self._heard = time.monotonic()
        self._failures += 1
        if not is_passing(error) or time.monotonic() - self._heard > self._retry.patience:
            raise error from None
        return self._retry.delay(self._failures, error)

    @staticmethod
    def cut() -> Unavailable:
        """The error of a stream that ended without `done`."""
        return Unavailable("the stream ended early")

    @staticmethod
    def silent() -> Unavailable:
        """The error of a stream without even a heartbeat."""
        return Unavailable("the stream fell silent")


class Following:
    """What both kinds of `Run` say of a job without asking the server."""

    def __init__(self, job: Job, retry: Retry, resume_token: str) -> None:
        self._fold = Fold(job, retry, resume_token)
        self.job = job
        """The job as it was when the run began."""

    @property
    def name(self) -> str:
        """Name of the job."""
        return self.job.name

    @property
    def progress(self) -> Progress:
        """How far the job was by the last message."""
        return self._fold.progress

    @property
    def state(self) -> JobState:
        """The job's state by the last message."""
        return self._fold.state

    @property
    def findings(self) -> list[Finding]:
        """What was found beside verdicts, so far."""
        return list(self._fold.findings)

    @property
    def resume_token(self) -> str:
        """`Client.watch` goes on from here; verdicts of the batch under way come again."""
        return self._fold.token

    def _learn(self, other: Following) -> None:
        """Takes over what another run saw of the same job's end."""
        self._fold.state, self._fold.progress = other.state, other.progress
