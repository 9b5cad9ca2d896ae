import datetime

from assay.v1 import types_pb2 as _types_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Suite(_message.Message):
    __slots__ = ("name", "display_name", "case_count", "sha256", "checks", "gates", "create_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CASE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    GATES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    case_count: int
    sha256: str
    checks: _containers.RepeatedCompositeFieldContainer[_types_pb2.Check]
    gates: _containers.RepeatedScalarFieldContainer[str]
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., case_count: _Optional[int] = ..., sha256: _Optional[str] = ..., checks: _Optional[_Iterable[_Union[_types_pb2.Check, _Mapping]]] = ..., gates: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class UploadSuiteRequest(_message.Message):
    __slots__ = ("header", "cases")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    header: UploadSuiteHeader
    cases: CaseBatch
    def __init__(self, header: _Optional[_Union[UploadSuiteHeader, _Mapping]] = ..., cases: _Optional[_Union[CaseBatch, _Mapping]] = ...) -> None: ...

class UploadSuiteHeader(_message.Message):
    __slots__ = ("display_name", "checks", "gates", "case_count")
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    GATES_FIELD_NUMBER: _ClassVar[int]
    CASE_COUNT_FIELD_NUMBER: _ClassVar[int]
    display_name: str
    checks: _containers.RepeatedCompositeFieldContainer[_types_pb2.Check]
    gates: _containers.RepeatedScalarFieldContainer[str]
    case_count: int
    def __init__(self, display_name: _Optional[str] = ..., checks: _Optional[_Iterable[_Union[_types_pb2.Check, _Mapping]]] = ..., gates: _Optional[_Iterable[str]] = ..., case_count: _Optional[int] = ...) -> None: ...

class CaseBatch(_message.Message):
    __slots__ = ("cases",)
    CASES_FIELD_NUMBER: _ClassVar[int]
    cases: _containers.RepeatedCompositeFieldContainer[_types_pb2.Case]
    def __init__(self, cases: _Optional[_Iterable[_Union[_types_pb2.Case, _Mapping]]] = ...) -> None: ...

class GetSuiteRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListSuitesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSuitesResponse(_message.Message):
    __slots__ = ("suites", "next_page_token")
    SUITES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    suites: _containers.RepeatedCompositeFieldContainer[Suite]
    next_page_token: str
    def __init__(self, suites: _Optional[_Iterable[_Union[Suite, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteSuiteRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...
