"""Artifacts of quantized sources: a step here and there is a warning, more is a fault that names the pass and op."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.driver import CompileOptions, compile_model
from edgec.driver.runner import ArtifactRunner
from edgec.driver.stored_steps import OutputSteps, share_beyond
from edgec.errors import TranslationFault
from edgec.frontends import tflite as tflite_frontend
from edgec.ir.dtype import DType
from edgec.ir.graph import Module, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build
from edgec.passes.base import PassContext, PassResult
from edgec.passes.canonicalize.convert_uint8 import ConvertUint8ToInt8
from edgec.passes.canonicalize.fold_constants import FoldConstants

PHONE, MCU = "rpi4", "stm32h743"


def convolutions(path: Path, dtype: DType = DType.INT8, count: int = 4) -> Path:
    """A chain of 3x3 convolutions on 8x8 maps in one integer type, the second with a relu; results are c0, c1, …"""
    module = Module(name="net")
    b = build(module.main)
    rng = np.random.default_rng(0)
    zero = 128 if dtype is DType.UINT8 else 0
    quant = QuantParams.per_tensor(1 / 64, zero)
    y = module.main.add_input("image", TensorType((1, 8, 8, 4), dtype, quant))
    for i in range(count):
        data = (rng.normal(0, 25, (4, 3, 3, 4)).clip(-127, 127) + zero).astype(dtype.numpy)
        weights = Value(f"w{i}", TensorType(data.shape, dtype, QuantParams.per_tensor(0.0123, zero)), data)
        bias = np.arange(4, dtype=np.int32) * 100
        bias_type = TensorType((4,), DType.INT32, QuantParams.per_tensor(0.0123 / 64, 0))
        operands = [y, weights, Value(f"b{i}", bias_type, bias)]
        y = b.emit(
            "conv_2d", operands, name=f"c{i}", quant=quant, stride_h=1, stride_w=1, padding="SAME",
            fused_activation_function="RELU" if i == 1 else "NONE",
        )  # fmt: skip
    module.main.outputs = [y]
    path.write_bytes(serialize(module))
    return path


def break_pass(monkeypatch: pytest.MonkeyPatch, pass_: type, change: Any) -> None:
    """Let a pass also do `change` to the module, once."""
    sound = pass_.run  # type: ignore[attr-defined]

    def run(self: Any, module: Module, context: PassContext) -> PassResult:
        result = sound(self, module, context)
        change(module)
        return PassResult(True, result.note)

    monkeypatch.setattr(pass_, "run", run)


def turn_a_filter(module: Module) -> None:
    conv = next(op for op in module.main.ops if op.name.endswith("c2"))
    weight = conv.operand(1)
    assert weight.data is not None
    if weight.name == "turned":
        return  # the pass runs again
    conv.set_operand(1, Value("turned", weight.type, np.ascontiguousarray(weight.data[::-1])))


@pytest.mark.parametrize("device", [PHONE, pytest.param(MCU, marks=pytest.mark.mcu)])
@pytest.mark.parametrize("dtype", [DType.INT8, DType.UINT8])
def test_a_pass_that_breaks_a_quantized_net_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, dtype: DType
) -> None:
    if device == MCU:
        pytest.importorskip("tflite_micro", reason="the extra 'mcu' is not installed")
    path = convolutions(tmp_path / "net.tflite", dtype)
    sound = compile_model(path, CompileOptions(device=device)).report.checks
    assert sound.artifact_vs_float is not None
    assert sound.artifact_vs_float.passed
    assert sound.bit_exact_runs == 8 or (device == MCU and dtype is DType.UINT8)  # those kernels part by a step
    pass_ = ConvertUint8ToInt8 if dtype is DType.UINT8 else FoldConstants
    break_pass(monkeypatch, pass_, turn_a_filter)
    with pytest.raises(TranslationFault) as caught:
        compile_model(path, CompileOptions(device=device))
    message = str(caught.value)
    assert message.startswith("Checking the artifact of 'net.tflite' against the source's own file")
    assert "output 'c3' departs on " in message
    assert "the bar is 2 steps on all but 1% of an output's elements, 32 on none; " in message
    assert f"the translation agrees until pass '{pass_.name}', after which it departs by " in message
    assert "; the first op that departs then is conv_2d 'c2'" in message
    unchecked = compile_model(path, CompileOptions(device=device, check=False)).report.checks.artifact_vs_float
    assert unchecked is not None
    assert unchecked.passed is None
    assert not unchecked.identical


def test_a_reading_that_breaks_a_quantized_net_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = convolutions(tmp_path / "net.tflite")
    sound = tflite_frontend._attributes

    def attributes(*given: Any) -> Any:
        opcode, found, extra = sound(*given)
        if found.get("fused_activation_function") == "RELU":
            found["fused_activation_function"] = "NONE"
        return opcode, found, extra

    monkeypatch.setattr(tflite_frontend, "_attributes", attributes)
    with pytest.raises(TranslationFault, match="the first node that departs is conv_2d 'c1'"):
        compile_model(path, CompileOptions(device=PHONE))


def test_the_command_ends_with_status_3_and_writes_nothing(tmp_path: Path) -> None:
    convolutions(tmp_path / "net.tflite")
    code = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pytest import MonkeyPatch
        from test_stored_departure import FoldConstants, break_pass, turn_a_filter
        break_pass(MonkeyPatch(), FoldConstants, turn_a_filter)
        sys.argv = ["edgec", "compile", "net.tflite", "--device", "rpi4", "-o", "out"]
        from edgec.cli.app import main
        main()
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 3, run.stderr
    assert "until pass 'fold_constants'" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out").exists()


def test_a_step_on_a_few_elements_is_a_warning_with_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = convolutions(tmp_path / "net.tflite")
    sound = ArtifactRunner.run_raw

    def run_raw(self: ArtifactRunner, feeds: Any) -> list[np.ndarray]:
        arrays = [array.copy() for array in sound(self, feeds)]
        if self.session._interpreter is not None and getattr(self, "nudged", False):
            arrays[0].reshape(-1)[0] ^= 1
        return arrays

    made: list[ArtifactRunner] = []
    init = ArtifactRunner.__init__

    def first_is_nudged(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        self.nudged = not made
        made.append(self)

    monkeypatch.setattr(ArtifactRunner, "run_raw", run_raw)
    monkeypatch.setattr("edgec.driver.verification.ArtifactRunner.__init__", first_is_nudged)
    report = compile_model(path, CompileOptions(device=PHONE)).report
    check = report.checks.artifact_vs_float
    assert check is not None
    assert check.passed
    assert report.checks.bit_exact_runs == 0
    (warning,) = [d for d in report.diagnostics if d.severity == "warning"]
    assert (
        "output 'c3' departs on 8 of 2048 elements, on 0 by more than 2 steps, at most by 1: within" in warning.message
    )


def counted(difference: np.ndarray, **options: Any) -> OutputSteps:
    one = OutputSteps("y", **options)
    base = np.linspace(-1, 1, difference.size, dtype=np.float32)
    one.add(base, base + difference)
    return one


def test_the_bar() -> None:
    step = 2 / 255
    few = np.zeros(1000, np.float32)
    few[:10] = 20 * step
    assert not counted(np.full(1000, 2 * step), scale=step).beyond
    assert counted(np.full(1000, 3 * step), scale=step).beyond
    assert not counted(few, scale=step).beyond
    few[10] = 20 * step
    assert counted(few, scale=step).beyond
    lone = np.zeros(1000, np.float32)
    lone[0] = 40 * step
    assert counted(lone, scale=step).beyond
    assert counted(lone).beyond  # a float made of steps counts in parts of its range
    assert not counted(lone, selected=True).beyond  # a step decided who comes first
    lone[:300] = 1
    assert counted(lone, selected=True).beyond
    assert counted(np.full(10, np.nan)).beyond
    other_shape = OutputSteps("y")
    other_shape.add(np.zeros(3), np.zeros(4))
    assert other_shape.beyond


def test_finer_steps_than_8_bits_count_in_parts_of_the_range() -> None:
    assert not counted(np.full(1000, 2e-3, np.float32), scale=2**-15).beyond


def test_a_run_within_the_bar_has_no_share() -> None:
    module = Module(name="net")
    value = module.main.add_input("x", TensorType((4,), DType.INT8, QuantParams.per_tensor(0.5, 0)))
    module.main.outputs = [value]
    want = [np.array([0, 10, 20, 30], np.float32)]
    assert share_beyond(want, [want[0] + 1], module) == 0
    assert share_beyond(want, [want[0] + 3], module) == pytest.approx(0.1)
