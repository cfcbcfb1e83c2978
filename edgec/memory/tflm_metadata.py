"""The metadata by which a `.tflite` tells TFLM where to put its tensors."""

import struct
from collections.abc import Sequence

from edgec.errors import AllocationError
from edgec.memory.plan import ALIGNMENT

METADATA_NAME = "OfflineMemoryAllocation"
LEFT_TO_RUNTIME = -1
_VERSION = 1
_HEADER = struct.Struct("<3i")
_INT32_MAX = 2**31 - 1


def encode_offline_plan(offsets_by_tensor_index: Sequence[int]) -> bytes:
    """The metadata buffer for one offset in bytes per tensor of the file, -1 for what TFLM places itself.

    Little-endian int32: version 1, subgraph 0, number of tensors, offsets. The list covers all tensors, weights
    included. TFLM checks neither overlap nor alignment, so `verify_plan` must have passed; and it reads the offsets
    of every subgraph from the start of the list, so a plan is for files with one subgraph only.

    Raises:
        AllocationError: an offset is neither -1 nor an aligned one that fits into int32.
    """
    for index, offset in enumerate(offsets_by_tensor_index):
        if offset != LEFT_TO_RUNTIME and (offset % ALIGNMENT or not 0 <= offset <= _INT32_MAX):
            raise AllocationError(
                f"offline memory plan: tensor {index} has offset {offset}; give -1 or a multiple of {ALIGNMENT} "
                f"from 0 to {_INT32_MAX}"
            )
    count = len(offsets_by_tensor_index)
    return _HEADER.pack(_VERSION, 0, count) + struct.pack(f"<{count}i", *offsets_by_tensor_index)


def decode_offline_plan(buffer: bytes) -> tuple[int, ...]:
    """The offsets in an `OfflineMemoryAllocation` buffer, by tensor index.

    Raises:
        AllocationError: the version is not 1, or the length does not fit the number of tensors.
    """
    version, _, count = _HEADER.unpack_from(buffer) if len(buffer) >= _HEADER.size else (None, 0, 0)
    if version != _VERSION:
        raise AllocationError(
            f"offline memory plan: metadata of {len(buffer)} bytes has version {version}; only version 1 is known"
        )
    if count < 0 or len(buffer) < _HEADER.size + 4 * count:
        raise AllocationError(
            f"offline memory plan: metadata of {len(buffer)} bytes is too short for the {count} offsets it claims; "
            "remove it or write it again"
        )
    return struct.unpack_from(f"<{count}i", buffer, _HEADER.size)
