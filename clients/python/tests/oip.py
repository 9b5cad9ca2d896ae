"""A small server of the Open Inference Protocol around onnxruntime, which has nothing of assay's."""

from __future__ import annotations

import sys
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime

from assay.cases import Array
from tests.server import REPOSITORY

# grpcio-tools makes the stubs as they are imported, from the contract as assay has it.
sys.path.append(str(REPOSITORY / "proto"))
messages: Any
services: Any
messages, services = grpc.protos_and_services("inference/grpc_service.proto")

SERVICE = "inference.GRPCInferenceService"
DATATYPES = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int64)": "INT64"}
TYPES = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64}


def session(model: Path) -> onnxruntime.InferenceSession:
    """A model in one thread, so that it gives the same scores every time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


class OnnxServer:
    """A model under the name `model`, until `stop`."""

    def __init__(self, model: Path) -> None:
        self.session = session(model)
        self.rows = 0
        handlers = {
            "ServerLive": (lambda *_: messages.ServerLiveResponse(live=True), messages.ServerLiveRequest),
            "ServerReady": (lambda *_: messages.ServerReadyResponse(ready=True), messages.ServerReadyRequest),
            "ModelReady": (lambda *_: messages.ModelReadyResponse(ready=True), messages.ModelReadyRequest),
            "ModelMetadata": (self._metadata, messages.ModelMetadataRequest),
            "ModelInfer": (self._infer, messages.ModelInferRequest),
        }
        methods: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(
                handler, request.FromString, lambda response: response.SerializeToString()
            )
            for name, (handler, request) in handlers.items()
        }
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None)

    def scores(self, x: Array) -> Array:
        return np.asarray(self.session.run(None, {self.session.get_inputs()[0].name: x})[0])

    def _metadata(self, request: Any, _: grpc.ServicerContext) -> Any:
        def tensor(node: Any) -> Any:
            shape = [n if isinstance(n, int) else -1 for n in node.shape]
            return messages.ModelMetadataResponse.TensorMetadata(
                name=node.name, datatype=DATATYPES[node.type], shape=shape
            )

        inputs, outputs = (map(tensor, nodes) for nodes in (self.session.get_inputs(), self.session.get_outputs()))
        return messages.ModelMetadataResponse(
            name=request.name, platform="onnxruntime_onnx", inputs=inputs, outputs=outputs
        )

    def _infer(self, request: Any, _: grpc.ServicerContext) -> Any:
        feeds = {
            tensor.name: np.frombuffer(raw, TYPES[tensor.datatype]).reshape(tensor.shape)
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        self.rows += len(next(iter(feeds.values())))
        names = [output.name for output in request.outputs]
        response = messages.ModelInferResponse(model_name=request.model_name, id=request.id)
        for name, array in zip(names, self.session.run(names, feeds), strict=True):
            datatype = next(known for known, kind in TYPES.items() if kind == array.dtype)
            response.outputs.add(name=name, datatype=datatype, shape=array.shape)
            response.raw_output_contents.append(array.tobytes())
        return response


def infer(target: str, model: str, name: str, x: Array, raw: bool) -> Array:
    """The first output of a model for FP32 rows of its input `name`."""
    request = messages.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name=name, datatype="FP32", shape=x.shape)
    if raw:
        request.raw_input_contents.append(x.tobytes())
    else:
        tensor.contents.fp32_contents.extend(x.ravel().tolist())
    with grpc.insecure_channel(target) as channel:
        response = services.GRPCInferenceServiceStub(channel).ModelInfer(request)
    output = response.outputs[0]
    values = np.frombuffer(response.raw_output_contents[0], np.float32) if raw else output.contents.fp32_contents
    return np.array(values, np.float32).reshape(tuple(output.shape))


def metadata(target: str, model: str) -> Any:
    """What a server says of a model."""
    with grpc.insecure_channel(target) as channel:
        return services.GRPCInferenceServiceStub(channel).ModelMetadata(messages.ModelMetadataRequest(name=model))
