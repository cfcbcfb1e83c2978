"""The op list of targets/mcu-int8.toml against the resolver of the installed TFLM wheel."""

import faulthandler
import os
from pathlib import Path

import pytest

from edgec.target.load import load_target

pytestmark = pytest.mark.mcu

NOT_BUILTIN = {"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"}


def model_with_bare_op(code: int) -> bytes:
    """A model of one op without operands: TFLM looks its kernel up before it misses them."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, op_code, op, graph = schema.ModelT(), schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT()
    model.version = 3
    op_code.builtinCode, op_code.deprecatedBuiltinCode, op_code.version = code, min(code, 127), 1
    op.inputs, op.outputs, graph.tensors, graph.inputs, graph.outputs, graph.operators = [], [], [], [], [], [op]
    model.operatorCodes, model.subgraphs, model.buffers = [op_code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def complaint(content: bytes, log: Path) -> str:
    """What TFLM writes when it loads `content`, in a child process: some kernels crash without operands."""
    from tflite_micro.python.tflite_micro import runtime

    child = os.fork()
    if child == 0:
        faulthandler.disable()  # pytest's would report the expected crashes
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        try:
            runtime.Interpreter.from_bytes(content, arena_size=65536)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return log.read_text(errors="replace")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_listed_ops_are_exactly_those_the_wheel_registers(tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro", reason="TFLM (extra 'mcu') is not installed")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    codes = {name: code for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}
    log = tmp_path / "stderr"
    registered = {
        name.lower()
        for name, code in codes.items()
        if name not in NOT_BUILTIN and "Didn't find op" not in complaint(model_with_bare_op(code), log)
    }
    assert set(load_target("mcu-int8").ops) == registered
