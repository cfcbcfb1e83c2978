"""Published networks, imported and moved: no transpose is left, and the numbers stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.ir.graph import Module
from edgec.passes.base import PassContext
from edgec.passes.canonicalize.canonicalize_reshape import CanonicalizeReshape
from edgec.passes.canonicalize.eliminate_common_subexpressions import EliminateCommonSubexpressions
from edgec.passes.canonicalize.eliminate_dead_code import EliminateDeadCode
from edgec.passes.canonicalize.eliminate_identity import EliminateIdentities
from edgec.passes.canonicalize.fold_constants import FoldConstants
from edgec.passes.layout.move_transposes import MoveTransposes, count_transposes, remaining_transposes
from edgec.passes.manager import run_passes

Check = Callable[..., Any]
BEFORE = (
    FoldConstants(), EliminateDeadCode(), EliminateIdentities(), CanonicalizeReshape(), EliminateCommonSubexpressions(),
)  # fmt: skip
SHARED = (
    "mlperf_tiny/pretrainedResnet.onnx", "mlperf_tiny/vww_96_float.onnx", "face/ulface_slim-320_simplified.onnx",
    "face/yunet_n_320_320.onnx", "detection/FastestDet.onnx",
)  # fmt: skip
LIGHT = (
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet",
    pytest.param("vgg19", marks=pytest.mark.slow), "zfnet512",
)  # fmt: skip


def imported(path: Path) -> Module:
    from edgec.frontends.onnx import load_onnx

    module = load_onnx(path)
    run_passes(module, BEFORE, PassContext())
    return module


def give_weights(module: Module) -> None:
    """The light networks come without trained weights; scales near one keep activations finite and distinct."""
    rng = np.random.default_rng(0)
    for op in module.main.ops:
        if op.opcode not in ("conv_2d", "depthwise_conv_2d", "fully_connected", "mul", "add"):
            continue
        for index, value in enumerate(op.operands):
            if value is None or not value.is_constant or value.type.elements == 1:
                continue
            inputs = value.type.elements // value.shape[0] if value.type.rank in (2, 4) and op.opcode != "mul" else 9
            noise = rng.standard_normal(value.shape) * (1.4 / np.sqrt(max(inputs, 1)))
            data = np.abs(noise) + 0.5 if op.opcode == "mul" else noise
            op.set_operand(index, module.main.constant(data.astype(np.float32), value.name))


@pytest.mark.parametrize("name", SHARED)
def test_shared_networks(check_pass: Check, shared_data: Path, name: str) -> None:
    path = shared_data / "models" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    checked = check_pass(imported(path), MoveTransposes())
    assert remaining_transposes(checked.module) == []
    assert list(checked.module.input_layout.values()) == [(0, 2, 3, 1)]


@pytest.mark.parametrize("name", LIGHT)
def test_light_networks(check_pass: Check, name: str) -> None:
    import onnx

    path = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"
    if not path.is_file():
        pytest.skip(f"this build of onnx comes without {path.name}")
    module = imported(path)
    give_weights(module)
    # sums of up to 25,088 products in another order: 1e-5 of the largest output
    checked = check_pass(module, MoveTransposes(), rtol=1e-4, atol=1e-5)
    assert remaining_transposes(checked.module) == []


@pytest.mark.parametrize("name", SHARED[:2])
def test_kept_borders(check_pass: Check, shared_data: Path, name: str) -> None:
    path = shared_data / "models" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    checked = check_pass(imported(path), MoveTransposes(keep_nchw=True))
    assert count_transposes(checked.module) == 1
    assert not checked.module.input_layout
