"""Peak memory of importing and compiling a large ONNX model: at most 3 times its weights' bytes plus 200 MiB.

A model of about 500 MB is made from a fixed seed: an embedding of 200 MB with blocks of MatMul and Gemm behind it, and
convolutions of up to 1024 channels. It is written twice, with external data and with the weights inside the file. Each
step runs in a process of its own, whose peak resident set (VmHWM, mapped files included) is what the bar is held
against, and so is the peak of the whole process tree (PSS, sampled), as the checks run in child processes.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common.locations import WORK
from common.peers import fresh_copy, onnx2tf_command
from common.process import environment
from common.table import NOT_INSTALLED, print_machine, print_table

SEED = 20_261_122
BAR_FACTOR, BAR_EXTRA_MIB = 3.0, 200.0
SAMPLE_SECONDS = 0.05
CALIBRATED = ("w8a8", "w8a16")
PEER_TIMEOUT_S = 300.0
MIB = 1 << 20
VOCABULARY, WIDTH, TOKENS, BLOCKS = 51_200, 1024, 32, 6

_IMPORT = """
import sys
from pathlib import Path
from edgec.frontends.onnx import load_onnx
module = load_onnx(Path(sys.argv[1]))
"""
_WRITE = (
    _IMPORT
    + """
from edgec.backends.tflite import serialize
data = serialize(module)
"""
)
_COMPILE = """
import sys
from edgec.cli import main
sys.argv[0] = "edgec"
try:
    main()
except SystemExit as end:
    print("exit status", end.code)
"""
_REPORT = """
for line in open("/proc/self/status"):
    if line.startswith(("VmHWM", "RssFile")):
        print(line.strip())
"""


@dataclass(frozen=True)
class Peak:
    """Peak memory in MiB of one process, and of it together with its children; seconds; exit status."""

    process_mib: float
    tree_mib: float
    seconds: float
    status: str


class _WeightFile:
    """Weights drawn from one generator, written one by one; each becomes a TensorProto that points into the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("wb")
        self.random = np.random.default_rng(SEED)
        self.tensors: list[object] = []
        self.bytes = 0

    def add(self, name: str, *shape: int) -> str:
        from onnx import TensorProto

        fan_in = int(np.prod(shape[1:])) if len(shape) > 2 else shape[0]
        array = self.random.standard_normal(shape, np.float32) / np.float32(np.sqrt(max(fan_in, 1)))
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
        fields = {"location": self.path.name, "offset": self.file.tell(), "length": array.nbytes}
        for key, value in fields.items():
            tensor.external_data.add(key=key, value=str(value))
        self.file.write(array.tobytes())
        self.file.write(bytes(-array.nbytes % 4096))
        self.tensors.append(tensor)
        self.bytes += array.nbytes
        return name


def make_model(folder: Path) -> tuple[Path, Path, int]:
    """The model with external data, the same with its weights inside, and the weights' bytes."""
    import onnx
    from onnx import TensorProto, helper

    external, inline = folder / "external" / "large.onnx", folder / "inline" / "large.onnx"
    for path in (external, inline):
        path.parent.mkdir(parents=True, exist_ok=True)
    weights = _WeightFile(external.with_suffix(".data"))
    nodes = [*_text_nodes(weights), *_image_nodes(weights), helper.make_node("Add", ["text", "picture"], ["scores"])]
    weights.file.close()
    graph = helper.make_graph(
        nodes, "large",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, TOKENS]),
         helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1000])], weights.tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    external.write_bytes(model.SerializeToString())
    inline.write_bytes(onnx.load(str(external)).SerializeToString())
    return external, inline, weights.bytes


def _text_nodes(weights: _WeightFile) -> list[object]:
    from onnx import helper

    nodes = [helper.make_node("Gather", [weights.add("embedding", VOCABULARY, WIDTH), "ids"], ["block_0"], axis=0)]
    for i in range(BLOCKS):
        up, down = weights.add(f"up_{i}", WIDTH, 4 * WIDTH), weights.add(f"down_{i}", 4 * WIDTH, WIDTH)
        nodes += [
            helper.make_node("MatMul", [f"block_{i}", up], [f"wide_{i}"]),
            helper.make_node("Add", [f"wide_{i}", weights.add(f"up_bias_{i}", 4 * WIDTH)], [f"biased_{i}"]),
            helper.make_node("Relu", [f"biased_{i}"], [f"active_{i}"]),
            helper.make_node("MatMul", [f"active_{i}", down], [f"narrow_{i}"]),
            helper.make_node("Add", [f"narrow_{i}", f"block_{i}"], [f"block_{i + 1}"]),
        ]
    head, bias = weights.add("text_head", WIDTH, 1000), weights.add("text_bias", 1000)
    return [
        *nodes,
        helper.make_node("ReduceMean", [f"block_{BLOCKS}"], ["pooled"], axes=[1], keepdims=0),
        helper.make_node("Gemm", ["pooled", head, bias], ["text"]),
    ]


def _image_nodes(weights: _WeightFile) -> list[object]:
    from onnx import helper

    nodes, x, channels = [], "image", 3
    for i, width in enumerate((64, 256, 1024, 1024)):
        w, b = weights.add(f"conv_{i}", width, channels, 3, 3), weights.add(f"conv_bias_{i}", width)
        nodes += [
            helper.make_node("Conv", [x, w, b], [f"conv_{i}_out"], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("Relu", [f"conv_{i}_out"], [f"relu_{i}"]),
        ]
        x, channels = f"relu_{i}", width
    head, bias = weights.add("image_head", 1000, channels), weights.add("image_bias", 1000)
    return [
        *nodes,
        helper.make_node("GlobalAveragePool", [x], ["average"]),
        helper.make_node("Flatten", ["average"], ["flat"]),
        helper.make_node("Gemm", ["flat", head, bias], ["picture"], transB=1),
    ]


def _samples(folder: Path) -> Path:
    """A manifest of four random inputs for calibration."""
    random = np.random.default_rng(SEED)
    np.save(folder / "ids.npy", random.integers(0, VOCABULARY, (4, 1, TOKENS)))
    np.save(folder / "image.npy", random.standard_normal((4, 3, 32, 32)).astype(np.float32))
    manifest = folder / "samples.toml"
    manifest.write_text('[inputs.ids]\npath = "ids.npy"\n[inputs.image]\npath = "image.npy"\nlayout = "chw"\n')
    return manifest


def measure(command: list[str], timeout_s: float | None = None) -> Peak:
    """Run a command to its end, sampling the memory of it and all its descendants."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), text=True, start_new_session=True
    )
    own = tree = 0.0
    while process.poll() is None:
        own, tree = max(own, _high_water_mib(process.pid)), max(tree, _tree_mib(process.pid))
        if timeout_s is not None and time.perf_counter() - started > timeout_s:
            os.killpg(process.pid, 9)
            process.wait()
            return Peak(own, tree, timeout_s, f"not finished after {timeout_s:g} s")
        time.sleep(SAMPLE_SECONDS)
    output = process.stdout.read() if process.stdout else ""
    for line in output.splitlines():
        if line.startswith("VmHWM"):
            own = int(line.split()[1]) / 1024
    status = "ok" if process.returncode == 0 and "exit status 2" not in output else " ".join(output.split())[:160]
    return Peak(own, max(own, tree), time.perf_counter() - started, status)


def _high_water_mib(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


def _tree_mib(pid: int) -> float:
    """Proportional set sizes of a process and its descendants: shared pages count once."""
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) / 1024
            for thread in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (thread / "children").read_text().split()]
    return total


def commands(model: Path, output: Path, schemes: list[str]) -> list[tuple[str, list[str]]]:
    """What is measured of one model file."""
    python = [sys.executable, "-c"]
    found = [
        ("front end only (load_onnx)", [*python, _IMPORT + _REPORT, str(model)]),
        ("front end + serialize", [*python, _WRITE + _REPORT, str(model)]),
    ]
    for scheme in schemes:
        arguments = ["compile", str(model), "--device", "pixel4", "--scheme", scheme, "-o", str(output / scheme)]
        if scheme in CALIBRATED:
            arguments += ["--calibration", str(_samples(output.parent))]
        found.append((f"edgec compile --scheme {scheme}", [*python, _COMPILE + _REPORT, *arguments]))
    arguments = ["compile", str(model), "--device", "pixel4", "--scheme", "fp32", "--no-check", "-o", str(output)]
    found.append(("edgec compile --scheme fp32 --no-check", [*python, _COMPILE + _REPORT, *arguments]))
    return found


def main() -> None:
    """Measure and print a table; the exit status is 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schemes", nargs="*", default=["fp32", "fp16", "w8", "w8a8"])
    parser.add_argument("--forms", nargs="*", default=["external", "inline"], choices=["external", "inline"])
    parser.add_argument("--peers", action="store_true", help="onnx2tf on the same file as well, for up to 5 minutes")
    parser.add_argument("--only", default="", help="measure only steps whose name contains this")
    arguments = parser.parse_args()
    folder = WORK / "import_memory"
    external, inline, weight_bytes = make_model(folder)
    bar = BAR_FACTOR * weight_bytes / MIB + BAR_EXTRA_MIB
    print_machine("edgec", "ai-edge-litert", "onnx", "onnxruntime")
    print(f"weights: {weight_bytes / 1e6:.0f} MB ({weight_bytes / MIB:.0f} MiB); bar {bar:.0f} MiB", flush=True)
    rows, held = [], True
    for form in arguments.forms:
        model = external if form == "external" else inline
        for what, command in commands(model, folder / "out", arguments.schemes):
            if arguments.only not in what:
                continue
            peak = measure(command)
            held &= peak.tree_mib <= bar and peak.status == "ok"
            rows.append(_row(f"{what}, weights {form}", peak, weight_bytes, bar))
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    if arguments.peers:
        rows.append(_peer_row(external, folder, weight_bytes, bar))
    header = ("step", "process MiB", "x weights", "tree MiB", "bar MiB", "holds", "s", "status")
    print_table("Peak memory", header, rows)
    sys.exit(0 if held else 1)


def _row(what: str, peak: Peak, weight_bytes: int, bar: float) -> tuple[str, ...]:
    share = (peak.process_mib - BAR_EXTRA_MIB) * MIB / weight_bytes
    holds = "yes" if peak.tree_mib <= bar and peak.status == "ok" else "NO"
    return (
        what, f"{peak.process_mib:.0f}", f"{share:.2f} (+200 MiB)", f"{peak.tree_mib:.0f}", f"{bar:.0f}", holds,
        f"{peak.seconds:.1f}", peak.status,
    )  # fmt: skip


def _peer_row(model: Path, folder: Path, weight_bytes: int, bar: float) -> tuple[str, ...]:
    copies = folder / "onnx2tf_input"
    command = onnx2tf_command(copies / model.name, folder / "onnx2tf")
    if command is None:
        return ("onnx2tf", NOT_INSTALLED, "", "", "", "", "", "")
    fresh_copy(model, copies)
    shutil.copyfile(model.with_suffix(".data"), copies / model.with_suffix(".data").name)
    return _row("onnx2tf, weights external", measure(command, PEER_TIMEOUT_S), weight_bytes, bar)


if __name__ == "__main__":
    main()
