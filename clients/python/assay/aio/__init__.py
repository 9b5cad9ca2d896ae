"""The same client for asyncio.

async with assay.aio.Client("127.0.0.1:50051") as client:
    run = await client.run("model.onnx", (x, y), ["clean"])
    async for verdict in run:
        print(verdict.case_id, verdict.outcome)
    print((await run.report()).verdict)
"""

from assay.aio.client import Client
from assay.aio.run import Run

__all__ = ["Client", "Run"]
