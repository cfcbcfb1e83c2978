"""Quantize a float .tflite to static int8 with litert-quantizer; run in the peer environment `litert-torch`.

Recipe: its own `static_wi8_ai8`. Calibration samples: the array `x` of an .npz, [N, H, W, C] float32.
"""

import argparse
import time
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="float .tflite")
    parser.add_argument("samples", type=Path, help=".npz with x")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()

    from ai_edge_litert.interpreter import Interpreter
    from litert_quantizer import quantizer, recipe

    interpreter = Interpreter(model_path=str(arguments.model))
    [(signature, names)] = interpreter.get_signature_list().items()
    name = names["inputs"][0]
    shape = tuple(interpreter.get_input_details()[0]["shape"])
    samples = np.load(arguments.samples)["x"].astype(np.float32)
    if shape[1] == samples.shape[-1]:
        samples = np.ascontiguousarray(samples.transpose(0, 3, 1, 2))
    started = time.perf_counter()
    worker = quantizer.Quantizer(str(arguments.model), recipe.static_wi8_ai8())
    calibration = worker.calibrate({signature: [{name: sample[np.newaxis]} for sample in samples]})
    result = worker.quantize(calibration)
    result.export_model(str(arguments.output), overwrite=True)
    print(f"calibrated on {len(samples)} samples and quantized in {time.perf_counter() - started:.2f} s")
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
