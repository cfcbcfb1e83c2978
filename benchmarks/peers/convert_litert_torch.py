"""Convert EfficientNet-Lite0 with litert-torch; run in the peer environment `litert-torch`.

The torch module gets a channel-last input (litert-torch's own wrapper), the form that suits its artifact best.
"""

import argparse
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--nchw", action="store_true", help="keep torch's channel-first input")
    arguments = parser.parse_args()

    import litert_torch
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from export_efficientnet_lite0 import load_network

    network, sample = load_network(), torch.zeros(1, 3, 224, 224)
    if not arguments.nchw:
        network, sample = litert_torch.to_channel_last_io(network, args=[0]).eval(), torch.zeros(1, 224, 224, 3)
    converted = litert_torch.convert(network, (sample,))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    converted.export(str(arguments.output))
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
