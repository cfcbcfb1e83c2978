"""MLPerf Tiny's float models quantized for a microcontroller, against float, in TFLM on samples not calibrated on."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.data.fidelity import Fidelity
from edgec.data.samples import InputSpec, SampleSet, load_samples
from edgec.frontends.tflite import load_tflite
from edgec.ir import Module
from edgec.quant import QuantOptions, quantize_module
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.tflm import TFLMSession

# model, calibration and evaluation manifest, SQNR of the outputs that must be reached (dB; about 3 below what is)
MODELS = [
    ("kws_ref_model_float32", "kws_calib", "kws_eval", 22.0),
    ("vww_96_float", "vww_calib", "vww_eval", 27.0),
    ("ad01_fp32", "ad01_calib", "ad01_eval", 38.0),
    ("pretrainedResnet", "cifar10_calib", "cifar10_eval", 20.0),
]
JUDGED = 60


def samples(module: Module, manifest: Path) -> SampleSet:
    return load_samples(manifest, inputs=[InputSpec(v.name, v.shape, v.dtype.value) for v in module.main.inputs])


@pytest.mark.mcu
@pytest.mark.parametrize(("name", "calibration", "evaluation", "reached"), MODELS, ids=[m[0] for m in MODELS])
def test_sqnr_in_tflm(
    name: str, calibration: str, evaluation: str, reached: float, kit: Any, shared_data: Path, manifests: Path
) -> None:
    pytest.importorskip("tflite_micro", reason="needs the extra mcu")
    module = load_tflite(shared_data / "models" / "mlperf_tiny" / f"{name}.tflite")
    given = samples(module, manifests / f"{calibration}.toml")
    plain, corrected = (
        fidelity(
            module,
            quantize_module(module, "w8a8", kit.mcu, given.iter_feeds, QuantOptions(bias_correction=wanted)).module,
            samples(module, manifests / f"{evaluation}.toml"),
        )
        for wanted in (False, True)
    )
    assert corrected > reached
    assert corrected > plain - 0.5  # correcting biases gains up to 4 dB, and where it does not it costs next to nothing


def fidelity(module: Module, artifact: Module, judged: SampleSet) -> float:
    reference, session = LiteRTSession(serialize(module)), TFLMSession(serialize(artifact), 4 << 20)
    [info], [output] = session.input_details, session.output_details
    found = Fidelity()
    for feeds in islice(judged.iter_feeds(), JUDGED):
        [array] = feeds.values()
        integers = np.clip(np.rint(array / info.scale[0]) + info.zero_point[0], -128, 127).astype(np.int8)
        [got] = session.run([integers])
        found.add(reference.run([array])[0], (got.astype(np.float32) - output.zero_point[0]) * output.scale[0])
    return found.sqnr_db()
