"""The four MLPerf Tiny tasks: float source, published int8, the shared data, calibration samples, the score."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.locations import dataset, shared_model
from common.manifests import write_manifest
from common.scores import area_under_roc, top1_percent

_SEED = 20240607
AD_WINDOW_FRAMES, AD_WINDOWS = 5, 196

Infer = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Task:
    """One task.

    `source` is what edgec compiles, `float_tflite` and `published_int8` what it is compared with. `samples` [N, …] and
    `labels` [N] are real-valued model inputs (NHWC) that no calibration sample is among; `score` turns an inference
    function into the task's figure, which may fall by `bar` in `unit`.
    """

    name: str
    source: Path
    float_tflite: Path
    published_int8: Path
    calibration: Path
    samples: NDArray[np.float32]
    labels: NDArray[np.int64]
    score: Callable[[Infer, "Task"], float]
    bar: float
    unit: str


def classification(infer: Infer, task: Task) -> float:
    """Top-1 in percent."""
    return top1_percent(np.stack([infer(sample) for sample in task.samples]), task.labels)


def anomaly(infer: Infer, task: Task) -> float:
    """ROC AUC of the clips' scores: mean over 196 windows of five frames of the reconstruction's squared error."""

    def clip_score(frames: NDArray[np.float32]) -> float:
        windows = [frames[start : start + AD_WINDOW_FRAMES].ravel() for start in range(AD_WINDOWS)]
        return float(np.mean([np.mean((infer(window).astype(np.float64) - window) ** 2) for window in windows]))

    return area_under_roc(np.array([clip_score(clip) for clip in task.samples]), task.labels)


def _held_out(count: int, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.setdiff1d(np.arange(count), chosen)


def _draw(candidates: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(_SEED).permutation(candidates)[:count])


def image_classification(limit: int | None = None) -> Task:
    """ResNet-8 from ONNX on CIFAR-10: calibrated on 256 training pictures, judged on the 5,000 shared test ones."""
    train = dataset("cifar10/cifar10_train_10000.npz")
    test = np.load(dataset("cifar10/cifar10_test_shared_5000.npz"))
    count = len(np.load(train)["y"])
    manifest = write_manifest(
        "ic_calibration",
        {"path": train, "array": "x", "layout": "hwc"},
        preprocess={"scale": 1.0},
        indices=_draw(np.arange(count), 256).tolist(),
    )
    return Task(
        "IC (ResNet-8, ONNX)",
        shared_model("mlperf_tiny/pretrainedResnet.onnx"),
        shared_model("mlperf_tiny/pretrainedResnet.tflite"),
        shared_model("mlperf_tiny/pretrainedResnet_quant.tflite"),
        manifest,
        test["x"][:limit].astype(np.float32),
        test["y"][:limit].astype(np.int64),
        classification,
        0.5,
        "points",
    )


def keyword_spotting(limit: int | None = None) -> Task:
    """DS-CNN from float .tflite: calibrated on 256 of the 2,445 shared clips, judged on the others."""
    path = dataset("speech_commands_test/kws_mfcc_shared_2445.npz")
    archive = np.load(path)
    labels = archive["labels"].astype(np.int64)
    chosen = _draw(np.arange(len(labels)), 256)
    rest = _held_out(len(labels), chosen)[:limit]
    manifest = write_manifest(
        "kws_calibration",
        {"path": path, "array": "mfcc"},
        preprocess={"scale": 1.0, "dtype": "float32"},
        indices=chosen.tolist(),
    )
    return Task(
        "KWS (DS-CNN)",
        shared_model("mlperf_tiny/kws_ref_model_float32.tflite"),
        shared_model("mlperf_tiny/kws_ref_model_float32.tflite"),
        shared_model("mlperf_tiny/kws_ref_model.tflite"),
        manifest,
        archive["mfcc"][rest].astype(np.float32),
        labels[rest],
        classification,
        0.5,
        "points",
    )


def visual_wake_words(limit: int | None = None) -> Task:
    """MobileNetV1 0.25 from float .tflite: calibrated on 100 of the 500 shared pictures, judged on the others."""
    path = dataset("vww01/vww01_shared_500.npz")
    archive = np.load(path)
    labels = archive["y"].astype(np.int64)
    chosen = _draw(np.arange(len(labels)), 100)
    rest = _held_out(len(labels), chosen)[:limit]
    manifest = write_manifest(
        "vww_calibration",
        {"path": path, "array": "x", "layout": "hwc"},
        preprocess={"scale": 1 / 255},
        indices=chosen.tolist(),
    )
    return Task(
        "VWW (MobileNetV1 0.25)",
        shared_model("mlperf_tiny/vww_96_float.tflite"),
        shared_model("mlperf_tiny/vww_96_float.tflite"),
        shared_model("mlperf_tiny/vww_96_int8.tflite"),
        manifest,
        archive["x"][rest].astype(np.float32) / np.float32(255),
        labels[rest],
        classification,
        0.5,
        "points",
    )


def anomaly_detection(limit: int | None = None) -> Task:
    """Autoencoder from float .tflite: calibrated on 16 normal clips (25 windows each), judged on the others."""
    path = dataset("ad01/ad01_logmel_shared_124.npz")
    archive = np.load(path)
    labels = archive["y"].astype(np.int64)
    chosen = _draw(np.flatnonzero(labels == 0), 16)
    rest = _held_out(len(labels), chosen)
    if limit is not None:
        rest = np.sort(np.random.default_rng(_SEED).permutation(rest)[:limit])  # both kinds of clips remain
    manifest = write_manifest(
        "ad_calibration",
        {"path": path, "array": "x"},
        preprocess={
            "scale": 1.0,
            "dtype": "float32",
            "window": {"length": AD_WINDOW_FRAMES, "hop": 8, "flatten": True},
        },
        indices=chosen.tolist(),
    )
    return Task(
        "AD (autoencoder)",
        shared_model("mlperf_tiny/ad01_fp32.tflite"),
        shared_model("mlperf_tiny/ad01_fp32.tflite"),
        shared_model("mlperf_tiny/ad01_int8.tflite"),
        manifest,
        archive["x"][rest].astype(np.float32),
        labels[rest],
        anomaly,
        0.02,
        "AUC",
    )


TASKS = {"ic": image_classification, "kws": keyword_spotting, "vww": visual_wake_words, "ad": anomaly_detection}
