"""The nine light_*.onnx of the onnx wheel, the face and the detection models: ONNX to fp32, against onnxruntime.

The error is the largest absolute difference of any output, over the span of that output's values and zero in
onnxruntime; inputs are seeded noise: normal, and for the three published detectors uniform over the pixel range they
were trained on. (Far outside of it, yunet's objectness lies below sigmoid(-12), where onnxruntime's own sigmoid is off
by a share of its value: with normal noise the table would show 1.2e-2 for edgec and for onnx2tf alike.) TRANSPOSE ops
that remain are counted.

The light models' weights are one value for a whole tensor, so most of them give the same constant for every input;
`--random-weights` fills them with seeded noise first, which is the test that says something (and takes minutes).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common.artifact import count_ops
from common.edgec_run import compile_model
from common.locations import WORK, shared_model
from common.peers import fresh_copy, onnx2tf_command
from common.process import alternate
from common.random_weights import write_with_random_weights
from common.table import NOT_INSTALLED, print_machine, print_table
from numpy.typing import NDArray

ERROR_BAR = 1e-4
Array = NDArray[np.float32]
PIXEL_RANGES = {
    "ulface_slim-320_simplified": (-1.0, 1.0),
    "yunet_n_320_320": (0.0, 255.0),
    "FastestDet": (0.0, 1.0),
}
FACE_AND_DETECTION = ("face/ulface_slim-320_simplified.onnx", "face/yunet_n_320_320.onnx", "detection/FastestDet.onnx")


def light_models() -> list[Path]:
    """The nine light_*.onnx that the onnx wheel brings, in alphabetical order."""
    import onnx

    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    return sorted(folder.glob("light_*.onnx"))


def source_outputs(model: Path, seed: int) -> tuple[list[Array], list[Array]]:
    """Seeded inputs, and the source's outputs for them in onnxruntime; both in the model's order."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(seed)
    feeds = {one.name: noise(generator, model.stem, one.shape) for one in session.get_inputs()}
    return list(feeds.values()), session.run(None, feeds)


def noise(generator: np.random.Generator, name: str, shape: Sequence[int]) -> Array:
    """Noise as a model expects its input: uniform over its pixel range where that is known, else normal."""
    if name in PIXEL_RANGES:
        return generator.uniform(*PIXEL_RANGES[name], shape).astype(np.float32)
    return generator.standard_normal(shape).astype(np.float32)


def artifact_outputs(artifact: Path, inputs: Sequence[Array]) -> list[Array]:
    """The artifact's outputs in LiteRT with XNNPACK; inputs are turned to NHWC where it takes them so."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(artifact), num_threads=2)
    interpreter.allocate_tensors()
    for details, array in zip(interpreter.get_input_details(), inputs):
        interpreter.set_tensor(details["index"], arranged(array, tuple(details["shape"])))
    interpreter.invoke()
    return [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()]


def arranged(array: Array, shape: tuple[int, ...]) -> Array:
    """A source array in the artifact's shape: as it is, or channels last; any other shape is an error."""
    if array.shape == shape:
        return array
    if array.ndim >= 3 and np.moveaxis(array, 1, -1).shape == shape:
        return np.ascontiguousarray(np.moveaxis(array, 1, -1))
    raise ValueError(f"the source has shape {array.shape}, the artifact {shape}")


def relative_error(found: Array, expected: Array) -> float:
    """Largest difference over the span of the expected values and zero; infinite where NaN or inf disagree."""
    expected = arranged(expected, found.shape)
    if not np.array_equal(np.isfinite(found), np.isfinite(expected)):
        return float("inf")
    finite = np.isfinite(expected)
    if not finite.any():
        return 0.0
    values = expected[finite].astype(np.float64)
    span = max(values.max(), 0.0) - min(values.min(), 0.0)
    difference = float(np.abs(found[finite].astype(np.float64) - values).max())
    return difference / span if span > 0 else difference


def worst_error(artifact: Path, model: Path, seeds: int) -> float:
    """The largest relative error of any output over some seeded inputs."""
    worst = 0.0
    for seed in range(seeds):
        inputs, expected = source_outputs(model, seed)
        found = artifact_outputs(artifact, inputs)
        if len(found) != len(expected):
            raise ValueError(f"the source has {len(expected)} outputs, the artifact {len(found)}")
        worst = max(worst, *(relative_error(one, other) for one, other in zip(found, expected)))
    return worst


def peer_verdict(model: Path) -> str:
    """What onnx2tf makes of the model: its error, or in a word why its artifact cannot be used."""
    copies, output = WORK / "onnx2tf_input", WORK / f"onnx2tf_{model.stem}"
    command = onnx2tf_command(copies / model.name, output)
    if command is None:
        return NOT_INSTALLED
    fresh_copy(model, copies)
    try:
        alternate([command], 1)
    except SystemExit:
        return "conversion fails"
    artifact = output / f"{model.stem}_float32.tflite"
    if not artifact.exists():
        return "no artifact"
    try:
        return f"{worst_error(artifact, model, 1):.1e}"
    except (RuntimeError, ValueError) as error:
        return f"does not run: {str(error).splitlines()[0][:60]}"


def compare(model: Path, device: str, seeds: int, with_peer: bool) -> list[str]:
    """One line of the table."""
    compiled = compile_model(model, WORK / model.stem, device, ["--scheme", "fp32", "--no-check"])
    ops = count_ops(compiled.artifact)
    error = worst_error(compiled.artifact, model, seeds)
    line = [model.name, f"{error:.1e}", f"<= {ERROR_BAR:.0e}", "yes" if error <= ERROR_BAR else "NO"]
    line += [str(ops.total()), str(ops["TRANSPOSE"]), str(ops["PAD"]), f"{compiled.run.seconds:.1f} s"]
    return [*line, peer_verdict(model)] if with_peer else line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="pixel4")
    parser.add_argument("--seeds", type=int, default=3, help="how many inputs for each model (default 3)")
    parser.add_argument("--no-peer", action="store_true", help="leave onnx2tf out")
    parser.add_argument(
        "--random-weights", action="store_true", help="fill the light models with noise: theirs are constants"
    )
    parser.add_argument("models", nargs="*", type=Path, help="other .onnx files instead of the twelve")
    arguments = parser.parse_args()
    light = light_models()
    if arguments.random_weights:
        light = [write_with_random_weights(model, WORK / "random_weights") for model in light]
    models = arguments.models or [*light, *(shared_model(name) for name in FACE_AND_DETECTION)]
    print_machine("edgec", "ai-edge-litert", "onnx", "onnxruntime")
    lines = [compare(model, arguments.device, arguments.seeds, not arguments.no_peer) for model in models]
    header = ["model", "max error", "bar", "holds", "ops", "TRANSPOSE", "PAD", "compile"]
    print_table("ONNX to fp32 against onnxruntime", header if arguments.no_peer else [*header, "onnx2tf"], lines)


if __name__ == "__main__":
    main()
