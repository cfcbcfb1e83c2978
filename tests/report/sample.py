"""Reports with realistic figures for the golden tests; no figure in here is a measurement.

The network is MLPerf Tiny's VWW (MobileNetV1 0.25, 96x96) with its dead channels dropped, on an STM32L4R5.
"""

import math
from typing import Any

from edgec.report.model import (
    Accuracy,
    Artifact,
    BudgetLine,
    Calibration,
    Check,
    Checks,
    Compression,
    Device,
    Diagnostic,
    Energy,
    Latency,
    Layer,
    Memory,
    OutputCheck,
    PassRun,
    PrunedGroup,
    Report,
    SourceModel,
    TensorInfo,
    Transposes,
    overall_verdict,
)

MILLIWATTS = 45.0
CLOCK_HZ = 120_000_000
CYCLES_PER_MAC = {"conv_2d": 5.2, "depthwise_conv_2d": 9.0, "fully_connected": 6.0}
# (stride, channels out) of the 13 depthwise / pointwise pairs
PAIRS = [
    (1, 16),
    (2, 32),
    (1, 32),
    (2, 64),
    (1, 64),
    (2, 128),
    (1, 77),
    (1, 71),
    (1, 65),
    (1, 58),
    (1, 70),
    (2, 120),
    (1, 176),
]


def _layer(index: int, name: str, op: str, shape: list[int], macs: int, weights: int, read: int) -> Layer:
    written = math.prod(shape)
    cycles = CYCLES_PER_MAC.get(op, 0.0) * macs + 8 * written + 3400
    latency_ms = cycles / CLOCK_HZ * 1000
    return Layer(
        index=index,
        name=name,
        op=op,
        source=f"tflite:0/{index}",
        macs=macs,
        weight_bytes=weights,
        read_bytes=read + weights,
        written_bytes=written,
        latency_ms=round(latency_ms, 4),
        energy_mj=round(latency_ms * MILLIWATTS / 1000, 5),
        live_bytes=read + written,
        output_shape=shape,
        dtype="int8",
    )


def mobilenet_layers() -> list[Layer]:
    side, channels = 48, 8
    layers = [_layer(0, "Conv1/relu", "conv_2d", [1, 48, 48, 8], 48 * 48 * 8 * 27, 8 * 27 + 96, 96 * 96 * 3)]
    for number, (stride, out) in enumerate(PAIRS, 1):
        read = side * side * channels
        side //= stride
        shape = [1, side, side, channels]
        macs = side * side * channels * 9
        layers.append(
            _layer(len(layers), f"conv_dw_{number}/relu", "depthwise_conv_2d", shape, macs, channels * 21, read)
        )
        read, shape, macs = math.prod(shape), [1, side, side, out], side * side * channels * out
        weights = channels * out + 12 * out
        layers.append(_layer(len(layers), f"conv_pw_{number}/relu", "conv_2d", shape, macs, weights, read))
        channels = out
    layers.append(_layer(len(layers), "avg_pool", "average_pool_2d", [1, 1, 1, channels], 0, 0, 9 * channels))
    layers.append(_layer(len(layers), "flatten", "reshape", [1, channels], 0, 8, channels))
    layers.append(
        _layer(len(layers), "dense/logits", "fully_connected", [1, 2], channels * 2, channels * 2 + 8, channels)
    )
    layers.append(_layer(len(layers), "dense/softmax", "softmax", [1, 2], 0, 0, 2))
    return layers


def microcontroller_report() -> Report:
    layers = mobilenet_layers()
    ms = sum(layer.latency_ms or 0.0 for layer in layers)
    mj = ms * MILLIWATTS / 1000
    macs = sum(layer.macs or 0 for layer in layers)
    budget = [
        BudgetLine(
            name="latency",
            limit=250,
            value=ms,
            low=ms * 0.8,
            high=ms * 1.3,
            verdict="uncertain",
            unit="ms",
            evidence="derived",
        ),
        BudgetLine(
            name="ram",
            limit=98_304,
            value=84_112,
            low=84_112,
            high=84_112,
            verdict="fits",
            unit="bytes",
            evidence="executed",
        ),
        BudgetLine(
            name="flash",
            limit=131_072,
            value=161_792,
            low=161_792,
            high=161_792,
            verdict="misses",
            unit="bytes",
            evidence="calibrated",
        ),
        BudgetLine(
            name="energy",
            limit=20,
            value=mj,
            low=mj * 0.7,
            high=mj * 1.5,
            verdict="fits",
            unit="mJ",
            evidence="derived",
        ),
        BudgetLine(name="accuracy-drop", limit=0.01, value=0.002, verdict="fits", unit="fraction", evidence="executed"),
    ]
    return Report(
        versions={"edgec": "0.1.0", "litert": "2.3.0", "tflm": "0.dev20261023182759"},
        model=SourceModel(
            name="vww_96_int8",
            source_path="models/mlperf_tiny/vww_96_int8.tflite",
            format="tflite",
            sha256="5f1c" + "0" * 60,
            macs=7_489_664,
            parameters=221_794,
            ops=31,
            bytes=333_288,
        ),
        device=Device(
            name="stm32l4r5",
            title="NUCLEO-L4R5ZI",
            target="mcu-int8",
            kernel_library="cmsis-nn",
            core="Cortex-M4F",
            clock_hz=CLOCK_HZ,
            threads=1,
            sram_bytes=655_360,
            flash_bytes=2_097_152,
        ),
        artifact=Artifact(
            path="out/model.tflite",
            bytes=118_304,
            sha256="a7e0" + "1" * 60,
            scheme="w8a8",
            inputs=[
                TensorInfo(
                    name="input_1_int8", shape=[1, 96, 96, 3], dtype="int8", scale=0.003921568859368563, zero_point=-128
                )
            ],
            outputs=[TensorInfo(name="Identity_int8", shape=[1, 2], dtype="int8", scale=0.00390625, zero_point=-128)],
        ),
        passes=[
            PassRun(name="fold_constants", changed=False, seconds=0.0121),
            PassRun(name="fuse_batch_norm_into_conv", changed=False, seconds=0.0004),
            PassRun(
                name="remove_dead_channels",
                options={"only_zero": True},
                changed=True,
                seconds=0.3182,
                note="557 channels of 10 groups",
            ),
            PassRun(name="legalize", options={"target": "mcu-int8"}, changed=True, seconds=0.0087),
        ],
        layers=layers,
        memory=Memory(
            arena_bytes=84_112,
            planned_activation_bytes=55_296,
            lower_bound_bytes=55_296,
            persistent_bytes=28_816,
            scratch_bytes=0,
            weight_bytes=96_552,
            flash_bytes=161_792,
            peak_layer="conv_pw_1/relu",
            evidence="executed",
            flash_evidence="calibrated",
            runtime_code_bytes=43_488,
            tflm_greedy_bytes=73_728,
            smaller_arena_fails=True,
            basis="TFLM on a 64-bit host; a 32-bit Cortex-M needs 3-6 % less",
        ),
        latency=Latency(
            ms=ms,
            low_ms=ms * 0.8,
            high_ms=ms * 1.3,
            evidence="derived",
            basis="roofline: 120 MHz, Cortex-M4 DSP",
            measured_here_ms=14.2,
            measured_here_runs=50,
        ),
        energy=Energy(
            mj=mj,
            low_mj=mj * 0.7,
            high_mj=mj * 1.5,
            average_power_mw=MILLIWATTS,
            evidence="derived",
            basis="active power at 3.3 V x time",
        ),
        checks=Checks(
            artifact_vs_float=Check(
                max_abs_error=0.0,
                sqnr_db=None,
                cosine=1.0,
                top1_agreement=1.0,
                identical=True,
                samples=50,
                reference="TFLM, source model",
                passed=True,
                tolerance="byte-identical",
                outputs=[
                    OutputCheck(
                        output="Identity_int8",
                        max_abs_error=0.0,
                        max_rel_to_range=0.0,
                        sqnr_db=math.inf,
                        cosine=1.0,
                        top1_agreement=1.0,
                    )
                ],
            ),
            bit_exact_runs=50,
            bit_exact_of=50,
            bit_exact_against="TFLM",
            artifact_runtime="TFLM 0.dev20261023182759",
            notes=["the source is an int8 .tflite: there is no float model to compare with"],
        ),
        accuracy=Accuracy(
            metric="top1", float_=0.862, artifact=0.860, drop=0.002, samples=500, source="vww01_shared_500.npz"
        ),
        budget=budget,
        verdict=overall_verdict(budget),
        compression=Compression(
            scheme="w8a8",
            dead_channels=557,
            macs_before=7_489_664,
            macs_after=macs,
            bytes_before=333_288,
            bytes_after=118_304,
            parameters_before=221_794,
            parameters_after=90_436,
            groups=[
                PrunedGroup(
                    name="conv_pw_7/relu", channels_before=128, channels_after=77, reason="51 filters are zero"
                ),
                PrunedGroup(
                    name="conv_pw_13/relu", channels_before=256, channels_after=176, reason="80 filters are zero"
                ),
            ],
        ),
        transposes=Transposes(count=0),
        diagnostics=[
            Diagnostic(
                severity="warning",
                op="conv_pw_9/relu",
                message="12 dead channels stay: their constant varies at the padded border of conv_dw_10",
            ),
            Diagnostic(severity="note", message="fp16 was not tried: target 'mcu-int8' takes int8 only"),
        ],
    )


def phone_report() -> Report:
    """A float ONNX model quantized for a phone, without budget for memory and with a transpose left."""
    ms = 4.83
    layers = [
        Layer(
            index=i,
            name=layer.name,
            op=layer.op,
            source=f"vww.onnx: /{layer.name}",
            macs=layer.macs,
            weight_bytes=layer.weight_bytes,
            live_bytes=layer.live_bytes,
            latency_ms=(layer.latency_ms or 0) / 60,
            output_shape=layer.output_shape,
            dtype="int8",
        )
        for i, layer in enumerate(mobilenet_layers())
    ]
    float_check = OutputCheck(
        output="logits", max_abs_error=2.4e-6, max_rel_to_range=3.1e-7, sqnr_db=131.4, cosine=1.0, top1_agreement=1.0
    )
    artifact_check = OutputCheck(
        output="logits", max_abs_error=0.31, max_rel_to_range=0.018, sqnr_db=29.8, cosine=0.9993, top1_agreement=0.984
    )
    budget = [
        BudgetLine(name="latency", limit=8, value=ms, low=3.1, high=7.4, verdict="fits", unit="ms", evidence="derived")
    ]
    return Report(
        versions={"edgec": "0.1.0", "litert": "2.3.0", "onnxruntime": "1.31.1", "tflm": None},
        model=SourceModel(
            name="vww",
            source_path="vww.onnx",
            format="onnx opset 17",
            sha256="9b" + "2" * 62,
            macs=7_489_664,
            parameters=221_794,
            bytes=901_120,
        ),
        device=Device(
            name="pixel4",
            title="Google Pixel 4",
            target="mobile-cpu",
            kernel_library="xnnpack",
            core="Cortex-A76",
            clock_hz=2_840_000_000,
            threads=4,
        ),
        artifact=Artifact(
            path="out/model.tflite",
            bytes=252_416,
            sha256="c3" + "3" * 62,
            scheme="w8a8",
            inputs=[TensorInfo(name="input", shape=[1, 96, 96, 3], dtype="float32")],
            outputs=[TensorInfo(name="logits", shape=[1, 2], dtype="float32")],
        ),
        passes=[PassRun(name="layout", changed=True, seconds=0.02)],
        layers=layers,
        memory=Memory(
            planned_activation_bytes=55_296,
            lower_bound_bytes=55_296,
            weight_bytes=231_000,
            peak_layer="conv_pw_1/relu",
            evidence="planned",
        ),
        latency=Latency(ms=ms, low_ms=3.1, high_ms=7.4, evidence="derived", basis="roofline"),
        energy=Energy(),
        checks=Checks(
            float_vs_source=Check(
                max_abs_error=2.4e-6,
                max_rel_to_range=3.1e-7,
                sqnr_db=131.4,
                cosine=1.0,
                top1_agreement=1.0,
                samples=16,
                reference="onnxruntime 1.31.1",
                passed=True,
                tolerance="1e-4 of the range",
                outputs=[float_check],
            ),
            artifact_vs_float=Check(
                max_abs_error=0.31,
                max_rel_to_range=0.018,
                sqnr_db=29.8,
                cosine=0.9993,
                top1_agreement=0.984,
                samples=128,
                reference="float module in LiteRT",
                worst_layer="conv_dw_2/relu",
                worst_layer_sqnr_db=21.4,
                outputs=[artifact_check],
            ),
            cross_check=Check(
                max_abs_error=1.7,
                max_rel_to_range=0.23,
                sqnr_db=11.2,
                cosine=0.961,
                top1_agreement=0.875,
                samples=16,
                reference="onnx2tf's .tflite",
                passed=False,
                tolerance="0.001 of the output's range",
                outputs=[
                    OutputCheck(
                        output="logits",
                        max_abs_error=1.7,
                        max_rel_to_range=0.23,
                        sqnr_db=11.2,
                        cosine=0.961,
                        top1_agreement=0.875,
                    )
                ],
            ),
            source_runtime="onnxruntime 1.31.1",
            artifact_runtime="LiteRT 2.3.0 with XNNPACK",
            notes=[
                "onnx2tf's .tflite departs from edgec's translation: onnxruntime 1.31.1 agrees with edgec (largest "
                "error relative to the range: onnx2tf's 2.3e-01, edgec's 3.1e-07)"
            ],
        ),
        budget=budget,
        verdict=overall_verdict(budget),
        compression=Compression(
            scheme="w8a8", macs_before=7_489_664, macs_after=7_489_664, bytes_before=890_112, bytes_after=252_416
        ),
        calibration=Calibration(
            source="calibration/vww.toml", samples=128, sha256="4d" + "5" * 62, method="percentile 99.99"
        ),
        transposes=Transposes(
            count=1, reasons=["'/head/Reshape' flattens a channels-first view that the next op needs in this order"]
        ),
    )


def unknown_report() -> Report:
    """Nothing is known: no budget, no layers, no figures."""
    return Report(
        versions={"edgec": "0.1.0"},
        model=SourceModel(name="m", source_path="m.tflite", format="tflite", sha256="0" * 64),
        device=Device(name="board", target="mcu-int8"),
        artifact=Artifact(path="model.tflite", bytes=0, sha256="0" * 64, scheme="fp32", inputs=[], outputs=[]),
        memory=Memory(),
        latency=Latency(),
        energy=Energy(),
        checks=Checks(),
        verdict="unknown",
    )


def chain_report(layer_count: int) -> Report:
    """A chain of small convolutions, to see that charts and tables stay small."""
    layers = [
        Layer(
            index=i,
            name=f"block_{i}/conv",
            op="conv_2d" if i % 3 else "add",
            macs=1000 + i % 977,
            weight_bytes=100,
            latency_ms=0.001 + (i % 50) / 10_000,
            live_bytes=40_000 + 700 * (i % 29),
        )
        for i in range(layer_count)
    ]
    return microcontroller_report().model_copy(update={"layers": layers})


def hostile_report(text: str) -> Report:
    """Put `text` in every place that a model file or a user can fill."""
    base = microcontroller_report()
    data: dict[str, Any] = base.model_dump(by_alias=True)
    data["versions"] = {"edgec": text, text: "1"}
    data["model"] |= {"name": text, "source_path": text, "format": text, "sha256": text}
    data["device"] |= {"name": text, "title": text, "target": text, "kernel_library": text, "core": text}
    data["artifact"] |= {"path": text, "scheme": text, "sha256": text}
    for tensor in data["artifact"]["inputs"] + data["artifact"]["outputs"]:
        tensor |= {"name": text, "dtype": text}
    for run in data["passes"]:
        run |= {"name": text, "note": text, "options": {text: text}}
    for layer in data["layers"]:
        layer |= {"name": text, "op": text, "source": text, "dtype": text}
    data["memory"] |= {"peak_layer": text, "basis": text}
    data["latency"]["basis"] = data["energy"]["basis"] = text
    data["checks"] |= {"bit_exact_against": text, "artifact_runtime": text, "source_runtime": text, "notes": [text]}
    check = data["checks"]["artifact_vs_float"]
    check |= {"reference": text, "tolerance": text, "worst_layer": text}
    check["outputs"][0]["output"] = text
    data["accuracy"] |= {"metric": text, "source": text}
    for line in data["budget"]:
        line |= {"name": text, "note": text}
    data["compression"] |= {"scheme": text, "prune": text}
    data["compression"]["groups"][0] |= {"name": text, "reason": text}
    data["calibration"] = {"source": text, "samples": 1, "sha256": text, "method": text}
    data["transposes"] = {"count": 1, "reasons": [text]}
    for diagnostic in data["diagnostics"]:
        diagnostic |= {"op": text, "message": text}
    return Report.model_validate(data)
