import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_MAINTAINED: _ClassVar[Mode]
    MODE_STREAMED: _ClassVar[Mode]

class Operator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATOR_UNSPECIFIED: _ClassVar[Operator]
    OPERATOR_EQ: _ClassVar[Operator]
    OPERATOR_NE: _ClassVar[Operator]
    OPERATOR_GT: _ClassVar[Operator]
    OPERATOR_GTE: _ClassVar[Operator]
    OPERATOR_LT: _ClassVar[Operator]
    OPERATOR_LTE: _ClassVar[Operator]
    OPERATOR_IN: _ClassVar[Operator]
    OPERATOR_NOT_IN: _ClassVar[Operator]
    OPERATOR_LIKE: _ClassVar[Operator]
    OPERATOR_ILIKE: _ClassVar[Operator]
    OPERATOR_IS_NULL: _ClassVar[Operator]
    OPERATOR_IS_NOT_NULL: _ClassVar[Operator]

class DeltaOp(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELTA_OP_UNSPECIFIED: _ClassVar[DeltaOp]
    DELTA_OP_ENTER: _ClassVar[DeltaOp]
    DELTA_OP_LEAVE: _ClassVar[DeltaOp]
    DELTA_OP_MOVE: _ClassVar[DeltaOp]
    DELTA_OP_UPDATE: _ClassVar[DeltaOp]
    DELTA_OP_RESET: _ClassVar[DeltaOp]
    DELTA_OP_MATCH: _ClassVar[DeltaOp]
    DELTA_OP_UNMATCH: _ClassVar[DeltaOp]

class ResetReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESET_REASON_UNSPECIFIED: _ClassVar[ResetReason]
    RESET_REASON_INITIAL: _ClassVar[ResetReason]
    RESET_REASON_REANCHOR: _ClassVar[ResetReason]
    RESET_REASON_FAILOVER: _ClassVar[ResetReason]
    RESET_REASON_OVERFLOW: _ClassVar[ResetReason]
    RESET_REASON_RECONCILE: _ClassVar[ResetReason]

class ColumnType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COLUMN_TYPE_UNSPECIFIED: _ClassVar[ColumnType]
    COLUMN_TYPE_BOOL: _ClassVar[ColumnType]
    COLUMN_TYPE_INT: _ClassVar[ColumnType]
    COLUMN_TYPE_DOUBLE: _ClassVar[ColumnType]
    COLUMN_TYPE_DECIMAL: _ClassVar[ColumnType]
    COLUMN_TYPE_STRING: _ClassVar[ColumnType]
    COLUMN_TYPE_TIMESTAMP: _ClassVar[ColumnType]
    COLUMN_TYPE_DATE: _ClassVar[ColumnType]
    COLUMN_TYPE_BYTES: _ClassVar[ColumnType]
    COLUMN_TYPE_JSON: _ClassVar[ColumnType]
MODE_UNSPECIFIED: Mode
MODE_MAINTAINED: Mode
MODE_STREAMED: Mode
OPERATOR_UNSPECIFIED: Operator
OPERATOR_EQ: Operator
OPERATOR_NE: Operator
OPERATOR_GT: Operator
OPERATOR_GTE: Operator
OPERATOR_LT: Operator
OPERATOR_LTE: Operator
OPERATOR_IN: Operator
OPERATOR_NOT_IN: Operator
OPERATOR_LIKE: Operator
OPERATOR_ILIKE: Operator
OPERATOR_IS_NULL: Operator
OPERATOR_IS_NOT_NULL: Operator
DELTA_OP_UNSPECIFIED: DeltaOp
DELTA_OP_ENTER: DeltaOp
DELTA_OP_LEAVE: DeltaOp
DELTA_OP_MOVE: DeltaOp
DELTA_OP_UPDATE: DeltaOp
DELTA_OP_RESET: DeltaOp
DELTA_OP_MATCH: DeltaOp
DELTA_OP_UNMATCH: DeltaOp
RESET_REASON_UNSPECIFIED: ResetReason
RESET_REASON_INITIAL: ResetReason
RESET_REASON_REANCHOR: ResetReason
RESET_REASON_FAILOVER: ResetReason
RESET_REASON_OVERFLOW: ResetReason
RESET_REASON_RECONCILE: ResetReason
COLUMN_TYPE_UNSPECIFIED: ColumnType
COLUMN_TYPE_BOOL: ColumnType
COLUMN_TYPE_INT: ColumnType
COLUMN_TYPE_DOUBLE: ColumnType
COLUMN_TYPE_DECIMAL: ColumnType
COLUMN_TYPE_STRING: ColumnType
COLUMN_TYPE_TIMESTAMP: ColumnType
COLUMN_TYPE_DATE: ColumnType
COLUMN_TYPE_BYTES: ColumnType
COLUMN_TYPE_JSON: ColumnType

class Value(_message.Message):
    __slots__ = ("null_value", "bool_value", "int_value", "uint_value", "double_value", "string_value", "json_value")
    NULL_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    UINT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    JSON_VALUE_FIELD_NUMBER: _ClassVar[int]
    null_value: _struct_pb2.NullValue
    bool_value: bool
    int_value: int
    uint_value: int
    double_value: float
    string_value: str
    json_value: bytes
    def __init__(self, null_value: _Optional[_Union[_struct_pb2.NullValue, str]] = ..., bool_value: _Optional[bool] = ..., int_value: _Optional[int] = ..., uint_value: _Optional[int] = ..., double_value: _Optional[float] = ..., string_value: _Optional[str] = ..., json_value: _Optional[bytes] = ...) -> None: ...

class ValueList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Value]
    def __init__(self, values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("column", "operator", "value", "list")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    column: str
    operator: Operator
    value: Value
    list: ValueList
    def __init__(self, column: _Optional[str] = ..., operator: _Optional[_Union[Operator, str]] = ..., value: _Optional[_Union[Value, _Mapping]] = ..., list: _Optional[_Union[ValueList, _Mapping]] = ...) -> None: ...

class OrGroup(_message.Message):
    __slots__ = ("conditions",)
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    conditions: _containers.RepeatedCompositeFieldContainer[Condition]
    def __init__(self, conditions: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("comparison", "or_group")
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    OR_GROUP_FIELD_NUMBER: _ClassVar[int]
    comparison: Comparison
    or_group: OrGroup
    def __init__(self, comparison: _Optional[_Union[Comparison, _Mapping]] = ..., or_group: _Optional[_Union[OrGroup, _Mapping]] = ...) -> None: ...

class SortKey(_message.Message):
    __slots__ = ("column", "desc")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    DESC_FIELD_NUMBER: _ClassVar[int]
    column: str
    desc: bool
    def __init__(self, column: _Optional[str] = ..., desc: _Optional[bool] = ...) -> None: ...

class Cursor(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Value]
    def __init__(self, values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ...) -> None: ...

class LiveQuery(_message.Message):
    __slots__ = ("entity", "where", "sort", "limit", "cursor", "mode")
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    SORT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    entity: str
    where: _containers.RepeatedCompositeFieldContainer[Condition]
    sort: _containers.RepeatedCompositeFieldContainer[SortKey]
    limit: int
    cursor: Cursor
    mode: Mode
    def __init__(self, entity: _Optional[str] = ..., where: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ..., sort: _Optional[_Iterable[_Union[SortKey, _Mapping]]] = ..., limit: _Optional[int] = ..., cursor: _Optional[_Union[Cursor, _Mapping]] = ..., mode: _Optional[_Union[Mode, str]] = ...) -> None: ...

class ResetInfo(_message.Message):
    __slots__ = ("reason", "row_count", "bare", "request_id")
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    BARE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    reason: ResetReason
    row_count: int
    bare: bool
    request_id: str
    def __init__(self, reason: _Optional[_Union[ResetReason, str]] = ..., row_count: _Optional[int] = ..., bare: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class LiveDelta(_message.Message):
    __slots__ = ("op", "agg_id", "version", "row", "old_index", "new_index", "cursor", "stream_id", "at", "reset")
    OP_FIELD_NUMBER: _ClassVar[int]
    AGG_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    OLD_INDEX_FIELD_NUMBER: _ClassVar[int]
    NEW_INDEX_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    op: DeltaOp
    agg_id: str
    version: int
    row: bytes
    old_index: int
    new_index: int
    cursor: Cursor
    stream_id: str
    at: _timestamp_pb2.Timestamp
    reset: ResetInfo
    def __init__(self, op: _Optional[_Union[DeltaOp, str]] = ..., agg_id: _Optional[str] = ..., version: _Optional[int] = ..., row: _Optional[bytes] = ..., old_index: _Optional[int] = ..., new_index: _Optional[int] = ..., cursor: _Optional[_Union[Cursor, _Mapping]] = ..., stream_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reset: _Optional[_Union[ResetInfo, _Mapping]] = ...) -> None: ...

class DeltaBatch(_message.Message):
    __slots__ = ("epoch", "first_seq", "deltas", "snapshot_complete")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    DELTAS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    first_seq: int
    deltas: _containers.RepeatedCompositeFieldContainer[LiveDelta]
    snapshot_complete: bool
    def __init__(self, epoch: _Optional[int] = ..., first_seq: _Optional[int] = ..., deltas: _Optional[_Iterable[_Union[LiveDelta, _Mapping]]] = ..., snapshot_complete: _Optional[bool] = ...) -> None: ...

class ResumePosition(_message.Message):
    __slots__ = ("subscription_id", "epoch", "seq", "stream_id", "route")
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    subscription_id: str
    epoch: int
    seq: int
    stream_id: str
    route: bytes
    def __init__(self, subscription_id: _Optional[str] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., stream_id: _Optional[str] = ..., route: _Optional[bytes] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("query", "resume", "request_id", "max_batch_deltas", "heartbeat_interval")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_DELTAS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    query: LiveQuery
    resume: ResumePosition
    request_id: str
    max_batch_deltas: int
    heartbeat_interval: _duration_pb2.Duration
    def __init__(self, query: _Optional[_Union[LiveQuery, _Mapping]] = ..., resume: _Optional[_Union[ResumePosition, _Mapping]] = ..., request_id: _Optional[str] = ..., max_batch_deltas: _Optional[int] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("subscription_id", "route", "effective_query", "resumed", "heartbeat_interval")
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_QUERY_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    subscription_id: str
    route: bytes
    effective_query: LiveQuery
    resumed: bool
    heartbeat_interval: _duration_pb2.Duration
    def __init__(self, subscription_id: _Optional[str] = ..., route: _Optional[bytes] = ..., effective_query: _Optional[_Union[LiveQuery, _Mapping]] = ..., resumed: _Optional[bool] = ..., heartbeat_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("at", "watermark", "epoch", "last_seq")
    AT_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    watermark: str
    epoch: int
    last_seq: int
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., watermark: _Optional[str] = ..., epoch: _Optional[int] = ..., last_seq: _Optional[int] = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ("started", "batch", "heartbeat")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    started: Started
    batch: DeltaBatch
    heartbeat: Heartbeat
    def __init__(self, started: _Optional[_Union[Started, _Mapping]] = ..., batch: _Optional[_Union[DeltaBatch, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ...) -> None: ...

class ReanchorRequest(_message.Message):
    __slots__ = ("subscription_id", "route", "query", "cursor", "limit", "request_id")
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    subscription_id: str
    route: bytes
    query: LiveQuery
    cursor: Cursor
    limit: int
    request_id: str
    def __init__(self, subscription_id: _Optional[str] = ..., route: _Optional[bytes] = ..., query: _Optional[_Union[LiveQuery, _Mapping]] = ..., cursor: _Optional[_Union[Cursor, _Mapping]] = ..., limit: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReanchorResponse(_message.Message):
    __slots__ = ("epoch", "effective_query")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_QUERY_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    effective_query: LiveQuery
    def __init__(self, epoch: _Optional[int] = ..., effective_query: _Optional[_Union[LiveQuery, _Mapping]] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("entities",)
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    def __init__(self, entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("name", "columns", "key", "description", "max_limit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    MAX_LIMIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    key: _containers.RepeatedScalarFieldContainer[str]
    description: str
    max_limit: int
    def __init__(self, name: _Optional[str] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., key: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ..., max_limit: _Optional[int] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "type", "nullable", "sortable", "operators", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NULLABLE_FIELD_NUMBER: _ClassVar[int]
    SORTABLE_FIELD_NUMBER: _ClassVar[int]
    OPERATORS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: ColumnType
    nullable: bool
    sortable: bool
    operators: _containers.RepeatedScalarFieldContainer[Operator]
    description: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[ColumnType, str]] = ..., nullable: _Optional[bool] = ..., sortable: _Optional[bool] = ..., operators: _Optional[_Iterable[_Union[Operator, str]]] = ..., description: _Optional[str] = ...) -> None: ...
