"""Convert a network of zoo/pretrained.py with litert-torch; run in the peer environment `litert-torch`.

The torch module gets a channel-last input (litert-torch's own wrapper), the form that suits its artifact best.
"""

import argparse
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", nargs="?", default="efficientnet_lite0", help="a function of zoo.pretrained")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--nchw", action="store_true", help="keep torch's channel-first input")
    arguments = parser.parse_args()

    import litert_torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from zoo import pretrained

    network, sample = getattr(pretrained, arguments.network)()
    if not arguments.nchw:
        network = litert_torch.to_channel_last_io(network, args=[0]).eval()
        sample = sample.permute(0, 2, 3, 1).contiguous()
    converted = litert_torch.convert(network, (sample,))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    converted.export(str(arguments.output))
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
