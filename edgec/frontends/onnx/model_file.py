"""Reads an ONNX file and its external data, trusting neither.

External data of the main graph's initializers is mapped when it is asked for; that of other tensors (constants among
the nodes, initializers of subgraphs) is put into the message, so that no library looks for it elsewhere.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.errors import ImportFailure
from edgec.frontends.onnx.external_data import EXTERNAL, external_array
from edgec.frontends.onnx.inner_graphs import inner_graphs
from edgec.frontends.onnx.local_functions import with_local_functions_inlined
from edgec.frontends.onnx.raw_weights import split_weights

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

MAX_FILE_BYTES = 2 << 30  # a protocol buffer's own limit


class OnnxModel:
    """A parsed ONNX model: its graph, opset and initializers, which are unpacked when asked for."""

    def __init__(
        self, proto: Any, name: str, folder: Path | None, weights: Mapping[str, memoryview] | None = None
    ) -> None:
        self.proto = proto
        self._weights = weights or {}  # raw data that was taken out of the message
        self.name = name
        self.folder = folder
        self.graph: GraphProto = proto.graph
        self.opset = _opset(proto, name)
        self._initializers = {t.name: t for t in proto.graph.initializer}
        if proto.graph.sparse_initializer:
            raise ImportFailure(f"Reading '{name}': sparse initializers are not supported; store them dense.")

    def with_proto(self, proto: Any) -> OnnxModel:
        """The same file with another graph over the same initializers."""
        return OnnxModel(proto, self.name, self.folder, self._weights)

    def is_initializer(self, name: str) -> bool:
        """True where the model stores data for `name`."""
        return name in self._initializers

    def initializer(self, name: str) -> np.ndarray | None:
        """The data of an initializer, None where there is none of that name.

        Raises:
            ImportFailure: its data is damaged or lies outside of the model's folder.
        """
        tensor = self._initializers.get(name)
        if tensor is None:
            return None
        if tensor.data_location == EXTERNAL:
            return external_array(tensor, self.folder, self.name)
        from onnx import helper, numpy_helper

        try:
            if name in self._weights:
                dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
                return np.frombuffer(self._weights[name], dtype).reshape(tuple(tensor.dims))
            array: np.ndarray = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise ImportFailure(
                f"Reading '{self.name}': the data of initializer '{name}' is damaged ({error})."
            ) from error
        return array


def tensor_data(tensor: TensorProto, where: str) -> np.ndarray:
    """The data of a tensor inside a subgraph; raises ImportFailure where it is damaged."""
    from onnx import numpy_helper

    try:
        array: np.ndarray = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise ImportFailure(
            f"Reading '{where}': the data of initializer '{tensor.name}' is damaged ({error})."
        ) from error
    return array


def load_model(path: Path) -> OnnxModel:
    """Parse an ONNX file; raises ImportFailure where it cannot be read or is no ONNX model."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ImportFailure(f"Reading '{path}': it is larger than 2 GiB; store the weights as external data.")
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if size else memoryview(b"")
    except OSError as error:
        raise ImportFailure(f"Reading '{path}': {error.strerror or error}.") from error
    return _parse(data, path.name, path.parent)


def read_model(data: bytes, name: str) -> OnnxModel:
    """Parse the bytes of an ONNX model; raises ImportFailure where they are no ONNX model."""
    return _parse(memoryview(data), name, None)


def _parse(data: memoryview, name: str, folder: Path | None) -> OnnxModel:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    proto = onnx.ModelProto()
    light, weights = split_weights(data)
    try:
        proto.ParseFromString(light)
    except (DecodeError, RecursionError) as error:
        raise ImportFailure(f"Reading '{name}': it is no ONNX model, or a damaged one.") from error
    if not proto.HasField("graph") or not proto.graph.output:
        raise ImportFailure(f"Reading '{name}': it is no ONNX model, or one without outputs.")
    _check_names(proto, name)
    for tensor in _inner_tensors([*proto.graph.node, *(n for f in proto.functions for n in f.node)]):
        if tensor.data_location == EXTERNAL:
            tensor.raw_data = external_array(tensor, folder, name).tobytes()
            tensor.data_location = 0
    proto = with_local_functions_inlined(proto, name)
    return OnnxModel(proto, name, folder, weights)


def _check_names(proto: Any, name: str) -> None:
    """Refuse names that are no UTF-8, which the protocol buffer's reader hands out as bytes."""
    for text in _names(proto.graph):
        if isinstance(text, bytes):
            raise ImportFailure(f"Reading '{name}': the name {text!r} is no UTF-8 text; the file is damaged.")


def _names(graph: GraphProto) -> Iterator[str | bytes]:
    for node in graph.node:
        yield from (node.op_type, node.domain, node.name, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name, attribute.t.name)
            for inner in inner_graphs(attribute):
                yield from _names(inner)
    for tensor in graph.initializer:
        yield tensor.name
        for entry in tensor.external_data:
            yield from (entry.key, entry.value)
    for info in (*graph.input, *graph.output):
        yield info.name
        yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)


def _inner_tensors(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    """The tensors among the attributes of nodes and inside their subgraphs."""
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in inner_graphs(attribute):
                yield from graph.initializer
                yield from (part for sparse in graph.sparse_initializer for part in (sparse.values, sparse.indices))
                yield from _inner_tensors(graph.node)


def _opset(proto: Any, name: str) -> int:
    for entry in proto.opset_import:
        if entry.domain in ("", "ai.onnx"):
            return int(entry.version)
    raise ImportFailure(f"Reading '{name}': it does not say which opset of ai.onnx it uses.")
