"""EfficientNet-Lite0 to w8a8 with 128 calibration pictures: time and accuracy, against litert-quantizer.

The 128 pictures are a seeded draw from the 500 shared ones (common/imagenet.py); litert-quantizer calibrates on the
same. Both artifacts run in LiteRT with XNNPACK on all 500 and, apart, on the 372 that no one calibrated on.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common.artifact import Artifact
from common.edgec_run import compile_model
from common.imagenet import Pictures, load_pictures
from common.locations import (
    EFFICIENTNET_LITERT_QUANTIZER,
    EFFICIENTNET_LITERT_TORCH,
    EFFICIENTNET_ONNX,
    WORK,
    dataset,
    existing,
)
from common.manifests import write_manifest
from common.peers import quantize_with_litert_quantizer
from common.scores import agreement_percent, sqnr_db, top1_percent
from common.table import NOT_INSTALLED, Row, print_machine, print_rows
from numpy.typing import NDArray

SECONDS_BAR, DROP_BAR, AGREEMENT_BAR = 10.0, 1.0, 97.2


@dataclass(frozen=True)
class Quality:
    """Figures of a quantized artifact on some pictures, in percent, points and dB."""

    float_top1: float
    top1: float
    agreement: float
    sqnr: float

    @property
    def drop(self) -> float:
        return self.float_top1 - self.top1


def quality(
    logits: NDArray[np.float32], reference: NDArray[np.float32], labels: NDArray[np.int64], chosen: NDArray[np.int64]
) -> Quality:
    """The figures on the chosen pictures."""
    some, float_some, some_labels = logits[chosen], reference[chosen], labels[chosen]
    return Quality(
        top1_percent(float_some, some_labels),
        top1_percent(some, some_labels),
        agreement_percent(some, float_some),
        sqnr_db(some, float_some),
    )


def calibration_manifest(pictures: Pictures) -> Path:
    """The 128 calibration pictures, straight from the shared file."""
    return write_manifest(
        "efficientnet_calibration",
        {"path": dataset("imagenet_sample/imagenet_sample_shared_500.npz"), "encoding": "jpeg"},
        preprocess={"crop_box": [16, 16, 224, 224], "mean": 127.0, "std": 128.0},
        indices=pictures.calibration.tolist(),
    )


def float_logits(model: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of the source model in onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    feeds = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
    return np.concatenate([session.run(None, {"image": feeds[i : i + 1]})[0] for i in range(len(feeds))])


def quality_rows(what: str, ours: Quality, peer: Quality | None, *, judged: bool) -> list[Row]:
    """Rows for one choice of pictures; the bar stands only where `judged`."""

    def other(text: str) -> str:
        return NOT_INSTALLED if peer is None else text

    drop = Row(
        f"{what}: top-1 (drop)",
        f"{ours.top1:.1f} % ({ours.drop:+.1f})",
        other("" if peer is None else f"{peer.top1:.1f} % ({peer.drop:+.1f})"),
        f"drop <= {DROP_BAR}" if judged else "",
        ours.drop <= DROP_BAR if judged else None,
    )
    agreement = Row(
        f"{what}: agreement with float",
        f"{ours.agreement:.1f} %",
        other("" if peer is None else f"{peer.agreement:.1f} %"),
        f">= {AGREEMENT_BAR} %" if judged else "",
        ours.agreement >= AGREEMENT_BAR if judged else None,
    )
    noise = Row(
        f"{what}: SQNR of the logits", f"{ours.sqnr:.1f} dB", other("" if peer is None else f"{peer.sqnr:.1f} dB")
    )
    return [Row(f"{what}: float top-1", f"{ours.float_top1:.1f} %"), drop, agreement, noise]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=EFFICIENTNET_ONNX)
    parser.add_argument("--litert-torch", type=Path, default=EFFICIENTNET_LITERT_TORCH, help="litert-quantizer's input")
    parser.add_argument("--scheme", default="w8a8")
    parser.add_argument("options", nargs="*", help="more options for edgec compile, after --")
    arguments = parser.parse_args()
    existing(arguments.model, "make it with benchmarks/export_efficientnet_lite0.py")
    print_machine("edgec", "ai-edge-litert")
    pictures = load_pictures()
    inputs = pictures.efficientnet_inputs()
    options = ["--scheme", arguments.scheme, "--calibration", str(calibration_manifest(pictures)), *arguments.options]
    unchecked = compile_model(arguments.model, WORK / "efficientnet_w8a8", "pixel4", [*options, "--no-check"])
    checked = compile_model(arguments.model, WORK / "efficientnet_w8a8_checked", "pixel4", options)
    peer_run = None
    if arguments.litert_torch.exists():
        calibration = inputs[pictures.calibration]
        peer_run = quantize_with_litert_quantizer(
            arguments.litert_torch, calibration, WORK, EFFICIENTNET_LITERT_QUANTIZER
        )
    seconds, peer_said = unchecked.run.seconds, NOT_INSTALLED
    peer_bytes = NOT_INSTALLED
    if peer_run is not None:
        peer_said = f"{peer_run.seconds:.1f} s, {peer_run.peak_mib:.0f} MiB"
        peer_bytes = f"{EFFICIENTNET_LITERT_QUANTIZER.stat().st_size:,}"
    rows = [
        Row(
            "ONNX to w8a8, whole process (peer: from its float .tflite)",
            f"{seconds:.1f} s, {unchecked.run.peak_mib:.0f} MiB",
            peer_said,
            f"<= {SECONDS_BAR:.0f} s",
            seconds <= SECONDS_BAR,
        ),
        Row("the same with all checks", f"{checked.run.seconds:.1f} s, {checked.run.peak_mib:.0f} MiB"),
        Row("artifact bytes", f"{unchecked.artifact.stat().st_size:,}", peer_bytes),
    ]
    reference = float_logits(arguments.model, inputs)
    ours = Artifact(unchecked.artifact, 2).infer_all(inputs)
    peer = None if peer_run is None else Artifact(EFFICIENTNET_LITERT_QUANTIZER, 2).infer_all(inputs)
    every = np.arange(len(inputs))
    rest = pictures.held_out
    for what, chosen, judged in (("all 500", every, True), (f"{len(rest)} held out", rest, False)):
        theirs = None if peer is None else quality(peer, reference, pictures.labels, chosen)
        rows += quality_rows(what, quality(ours, reference, pictures.labels, chosen), theirs, judged=judged)
    print_rows(f"EfficientNet-Lite0 to {arguments.scheme}", rows, "litert-quantizer")


if __name__ == "__main__":
    main()
