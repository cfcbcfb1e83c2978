"""The benchmark manifests load on the shared data, and reproduce its README's figures where a runtime is at hand."""

from pathlib import Path

import numpy as np
import pytest

from edgec.data.evaluate import Run, evaluate_metric
from edgec.data.manifest import load_manifest
from edgec.data.samples import Feeds, InputSpec, load_samples

MANIFESTS = Path(__file__).resolve().parents[2] / "benchmarks" / "manifests"

SHAPES = {
    "imagenet": (1, 224, 224, 3),
    "cifar10": (1, 32, 32, 3),
    "kws": (1, 49, 10, 1),
    "vww": (1, 96, 96, 3),
    "ad01": (1, 640),
}
COUNTS = {
    "imagenet_calib": 128,
    "imagenet_eval": 372,
    "imagenet_eval_500": 500,
    "cifar10_calib": 200,
    "cifar10_eval": 5000,
    "kws_calib": 200,
    "kws_eval": 2245,
    "kws_eval_2445": 2445,
    "vww_calib": 100,
    "vww_eval": 400,
    "vww_eval_500": 500,
    "ad01_calib": 20,
    "ad01_eval": 104,
    "ad01_eval_124": 124,
}
RANGES = {"imagenet": (-127 / 128, 1.0), "cifar10": (0.0, 255.0), "vww": (0.0, 1.0)}


def test_every_manifest_is_listed() -> None:
    assert sorted(path.stem for path in MANIFESTS.glob("*.toml")) == sorted(COUNTS)


@pytest.fixture(scope="module")
def data_for_manifests() -> None:
    manifest = load_manifest(MANIFESTS / "vww_eval.toml")
    assert manifest.input is not None
    if not (MANIFESTS / manifest.input.path).is_file():
        pytest.skip("the shared data is not where benchmarks/manifests point")


@pytest.mark.usefixtures("data_for_manifests")
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_loads(name: str) -> None:
    kind = name.split("_")[0]
    samples = load_samples(MANIFESTS / f"{name}.toml", inputs=[InputSpec("x", SHAPES[kind])])
    assert len(samples) == COUNTS[name]
    assert samples.notes == ()
    assert (samples.metric is None) == name.endswith("calib")
    few = load_samples(MANIFESTS / f"{name}.toml", inputs=[InputSpec("x", SHAPES[kind])], limit=6)
    feeds = [feed["x"] for feed in few.iter_feeds()]
    assert {feed.shape for feed in feeds} == {SHAPES[kind]}
    if kind in RANGES:
        low, high = RANGES[kind]
        assert min(feed.min() for feed in feeds) >= low
        assert max(feed.max() for feed in feeds) <= high
        assert max(feed.max() for feed in feeds) > high / 2


@pytest.mark.usefixtures("data_for_manifests")
@pytest.mark.parametrize("kind", ["imagenet", "kws", "vww", "ad01"])
def test_calibration_and_evaluation_are_disjoint_and_complete(kind: str) -> None:
    inputs = [InputSpec("x", SHAPES[kind])]
    calibration, evaluation = (
        load_samples(MANIFESTS / f"{kind}_{use}.toml", inputs=inputs) for use in ("calib", "eval")
    )
    together = sorted(calibration.positions + evaluation.positions)
    assert together == list(range(calibration.stored_count))


def litert_run(path: Path) -> Run:
    runtime = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = runtime.Interpreter(str(path))
    interpreter.allocate_tensors()
    (fed,), (read,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(feeds: Feeds) -> list[np.ndarray]:
        interpreter.set_tensor(fed["index"], feeds["x"])
        interpreter.invoke()
        return [interpreter.get_tensor(read["index"])]

    return run


@pytest.mark.usefixtures("data_for_manifests")
@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        ("kws_eval_2445", "kws_ref_model_float32.tflite", 0.9194),
        ("vww_eval_500", "vww_96_float.tflite", 0.860),
        ("ad01_eval_124", "ad01_fp32.tflite", 0.912),
    ],
)
def test_published_figures_come_out(shared_data: Path, name: str, model: str, expected: float) -> None:
    samples = load_samples(MANIFESTS / f"{name}.toml", inputs=[InputSpec("x", SHAPES[name.split("_")[0]])])
    result = evaluate_metric(litert_run(shared_data / "models" / "mlperf_tiny" / model), samples)
    assert result.value == pytest.approx(expected, abs=5e-4)
