"""The four services over one channel, blocking or asyncio: the generated stubs are the same for both."""

from __future__ import annotations

from typing import Any

from assay.v1 import catalog_pb2_grpc, jobs_pb2_grpc, models_pb2_grpc, suites_pb2_grpc


class Services:
    """Stubs by the name of their resource."""

    def __init__(self, channel: Any) -> None:
        self.models: Any = models_pb2_grpc.ModelServiceStub(channel)
        self.suites: Any = suites_pb2_grpc.SuiteServiceStub(channel)
        self.jobs: Any = jobs_pb2_grpc.JobServiceStub(channel)
        self.catalog: Any = catalog_pb2_grpc.CatalogServiceStub(channel)
