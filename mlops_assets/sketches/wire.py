"""The file format of a whylogs profile (``WHY1``), read and written without importing whylogs.

``import whylogs`` loads pandas and scikit-learn and takes seconds in every process; only its
generated message classes are needed here, and they load from their own file.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from mlops_assets.errors import ProfileError

_MAGIC = b"WHY1"
_MODULE = "mlops_assets.sketches._whylogs_messages"

#: whylogs tells a minimum and a maximum from a sum by this field of the message
_AGGREGATED_BY = {"ints/min": 1, "ints/max": 2}

Components = dict[str, int | float | bytes]
"""One column: a component's path, such as ``distribution/kll``, and its value."""


@functools.cache
def _messages() -> Any:
    """Load whylogs' protobuf classes; a later ``import whylogs`` shares them."""
    package = find_spec("whylogs")
    if package is None or not package.submodule_search_locations:
        raise ProfileError("whylogs is not installed; install the project's lock file again")
    path = Path(package.submodule_search_locations[0]) / "core/proto/whylogs_messages_pb2.py"
    spec = spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ProfileError(f"this whylogs keeps its messages elsewhere than {path.name}; pin 1.6")
    module = module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    return module


def write(columns: Mapping[str, Components]) -> bytes:
    """Return the profile file of these columns: the same bytes for the same columns, always.

    The timestamps whylogs would stamp are the epoch; the store knows when a profile was recorded.
    """
    messages = _messages()
    paths = sorted({path for components in columns.values() for path in components})
    index = {path: number for number, path in enumerate(paths)}
    body = bytearray()
    offsets = {}
    for name in sorted(columns):
        offsets[name] = messages.ChunkOffsets(offsets=[len(body)])
        chunk = _bytes_of(
            messages.ChunkMessage(
                metric_components={
                    index[path]: _component(messages, path, value)
                    for path, value in columns[name].items()
                }
            )
        )
        body += _delimited(
            messages.ChunkHeader(type=messages.ChunkHeader.COLUMN, length=len(chunk))
        )
        body += chunk
    header = messages.DatasetProfileHeader(
        column_offsets=offsets,
        properties=messages.DatasetProperties(dataset_timestamp=0, creation_timestamp=0),
        length=len(body),
        indexed_metric_paths={number: path for path, number in index.items()},
    )
    segment = _delimited(messages.DatasetSegmentHeader(has_segments=False))
    return _MAGIC + segment + _delimited(header) + bytes(body)


def read(data: bytes) -> dict[str, Components]:
    """Return the columns of a profile file; raises ProfileError for anything else."""
    if data[:4] != _MAGIC:
        raise ProfileError("not a whylogs profile: the file doesn't begin with WHY1")
    try:
        return _read(_messages(), data)
    except ProfileError:
        raise
    except Exception as error:  # protobuf's DecodeError has no typed home worth importing
        raise ProfileError(f"the profile can't be read: {error}") from error


def _read(messages: Any, data: bytes) -> dict[str, Components]:
    _, start = _parse(messages.DatasetSegmentHeader, data, 4)
    header, start = _parse(messages.DatasetProfileHeader, data, start)
    if start + header.length > len(data):
        raise ProfileError("the profile is cut short; profile the window again")
    paths = dict(header.indexed_metric_paths)
    columns: dict[str, Components] = {}
    for name in sorted(header.column_offsets):
        columns[name] = {}
        for offset in header.column_offsets[name].offsets:
            chunk_header, at = _parse(messages.ChunkHeader, data, start + offset)
            chunk = messages.ChunkMessage.FromString(data[at : at + chunk_header.length])
            for number, component in chunk.metric_components.items():
                value = _value(component)
                if value is not None:
                    columns[name][paths[number]] = value
    return columns


def _component(messages: Any, path: str, value: float | bytes) -> Any:
    kind = _AGGREGATED_BY.get(path, 0)
    if path.endswith("/kll"):
        sketch = messages.KllSketchMessage(sketch=value)
        return messages.MetricComponentMessage(type_id=kind, kll=sketch)
    if path.endswith("/hll"):
        sketch = messages.HllSketchMessage(sketch=value)
        return messages.MetricComponentMessage(type_id=kind, hll=sketch)
    if path.endswith("/frequent_strings"):
        sketch = messages.FrequentItemsSketchMessage(sketch=value)
        return messages.MetricComponentMessage(type_id=kind, frequent_items=sketch)
    if isinstance(value, float):
        return messages.MetricComponentMessage(type_id=kind, d=value)
    return messages.MetricComponentMessage(type_id=kind, n=value)


def _value(component: Any) -> int | float | bytes | None:
    field = component.WhichOneof("value")
    if field in {"n", "d"}:
        number: int | float = getattr(component, field)
        return number
    if field in {"kll", "hll", "frequent_items"}:
        return bytes(getattr(component, field).sketch)
    return None  # a custom metric of somebody else's profile


def _bytes_of(message: Any) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))


def _delimited(message: Any) -> bytes:
    body = _bytes_of(message)
    size, prefix = len(body), bytearray()
    while size > 0x7F:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + body


def _parse(kind: Any, data: bytes, at: int) -> tuple[Any, int]:
    size = shift = 0
    while True:
        byte = data[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if at + size > len(data):
        raise ProfileError("the profile is cut short; profile the window again")
    return kind.FromString(data[at : at + size]), at + size
