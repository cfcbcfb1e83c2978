"""Networks of dynamic quantization: activations are rounded to 256 steps of their own range at run time.

    q, s, z = DynamicQuantizeLinear(x)   y = Cast(MatMulInteger(q, w, z, wz)) * (s * ws)

stands for x @ ((w - wz) * ws), and TFLite has the same in one op: int8 weights beside float activations, which its
kernels round at run time (scheme w8). So such a DynamicQuantizeLinear gives x itself, with the scale 1 and the zero
point 0, and the products are those of real numbers; the scale of the weights then folds into them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import NodeProto

    from edgec.frontends.onnx.translation import Translation

FLOAT = 1  # TensorProto.FLOAT
_Use = tuple["NodeProto", int]
# Where products read the codes, their scale (None: a Mul comes behind) and their zero point.
_PRODUCTS: dict[str, tuple[int, int | None, int]] = {
    "ConvInteger": (0, None, 2),
    "MatMulInteger": (0, None, 2),
    "MatMulIntegerToFloat": (0, 2, 4),
}
ROUNDS = "rounds_at_run_time"


def in_real_numbers(nodes: Sequence[NodeProto], read_elsewhere: frozenset[str]) -> frozenset[str]:
    """First outputs of the DynamicQuantizeLinear nodes whose results nothing but products of integers reads, and of the
    QuantizeLinear nodes that nothing but their inverse reads.

    `read_elsewhere` are names that outputs of the graph or its subgraphs use.
    """
    uses: dict[str, list[_Use]] = defaultdict(list)
    for node in nodes:
        for index, name in enumerate(node.input):
            uses[name].append((node, index))
    found = set()
    for node in nodes:
        dynamic = node.op_type == "DynamicQuantizeLinear" and len(node.output) == 3
        if (dynamic and _is_of_products(node, uses, read_elsewhere)) or (
            node.op_type == "QuantizeLinear" and _is_of_pair(node, uses, read_elsewhere)
        ):
            found.add(node.output[0])
    return frozenset(found)


def _is_of_pair(node: NodeProto, uses: dict[str, list[_Use]], read_elsewhere: frozenset[str]) -> bool:
    """Whether only DequantizeLinear nodes of the same scale and zero point read the codes."""
    users = [user for user, _ in uses[node.output[0]]]
    alike = all(u.op_type == "DequantizeLinear" and list(u.input)[1:] == list(node.input)[1:] for u in users)
    return alike and node.output[0] not in read_elsewhere


def _is_of_products(node: NodeProto, uses: dict[str, list[_Use]], read_elsewhere: frozenset[str]) -> bool:
    codes, scale, point = node.output
    if not read_elsewhere.isdisjoint(node.output):
        return False
    for user, index in uses[codes]:
        places = _PRODUCTS.get(user.op_type)
        if places is None or index != places[0] or list(user.input).count(codes) != 1:
            return False
        if len(user.input) <= places[2] or user.input[places[2]] != point:
            return False
        if places[1] is None and not _becomes_real(user.output[0], uses, read_elsewhere):
            return False
        if places[1] is not None and user.input[places[1]] != scale:
            return False
    multiplied = all(
        user.op_type == "Mul" or _PRODUCTS.get(user.op_type, (0, None, 0))[1] == index for user, index in uses[scale]
    )
    return multiplied and all(_PRODUCTS.get(user.op_type, (0, 0, -1))[2] == index for user, index in uses[point])


def _becomes_real(name: str, uses: dict[str, list[_Use]], read_elsewhere: frozenset[str]) -> bool:
    """Whether sums of products are only cast to float32."""
    casts = [user for user, _ in uses[name] if user.op_type == "Cast"]
    wanted = all(a.i == FLOAT for cast in casts for a in cast.attribute if a.name == "to")
    return name not in read_elsewhere and len(casts) == len(uses[name]) > 0 and wanted


def note_rounding(context: Translation) -> None:
    """Remember that the source rounds activations at run time, for its weights to stay small and for the checks."""
    context.rounds_at_run_time = True
