"""The peers' commands. A peer that is not installed is reported as such and never replaced by a stored figure."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.locations import peer_script
from common.process import Run, run

_SCRIPTS = Path(__file__).resolve().parents[1] / "peers"


def onnx2tf_command(model: Path, output: Path) -> list[str] | None:
    """The command that converts `model` with onnx2tf, or None where it is not installed.

    onnx2tf writes its simplified graph over its input file, so give it a copy.
    """
    program = peer_script("onnx2tf", "onnx2tf")
    return None if program is None else [str(program), "-i", str(model), "-o", str(output)]


def fresh_copy(model: Path, folder: Path) -> Path:
    """A writable copy of `model` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / model.name
    copy.unlink(missing_ok=True)
    shutil.copyfile(model, copy)
    return copy


def litert_torch_command(network: str, output: Path) -> list[str] | None:
    """The command that converts a network of `zoo.pretrained` (channel-last input); None where not installed."""
    python = peer_script("litert-torch", "python")
    if python is None:
        return None
    return [str(python), str(_SCRIPTS / "convert_litert_torch.py"), network, "-o", str(output)]


def convert_with_litert_torch(output: Path) -> Run | None:
    """Convert EfficientNet-Lite0 with litert-torch (channel-last input), or None where it is not installed."""
    command = litert_torch_command("efficientnet_lite0", output)
    return None if command is None else run(command)


def quantize_with_litert_quantizer(model: Path, samples: NDArray[np.float32], folder: Path, output: Path) -> Run | None:
    """Quantize `model` to static int8 on `samples` [N, H, W, C], or None where litert-quantizer is not installed."""
    python = peer_script("litert-torch", "python")
    if python is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "litert_quantizer_samples.npz"
    np.savez(archive, x=samples)
    script = str(_SCRIPTS / "quantize_litert_quantizer.py")
    return run([str(python), script, str(model), str(archive), "-o", str(output)])
