"""Train the bundled digits CNN and write its ONNX file, calibration sample and evaluation split.

Run in an environment with torch, scikit-learn, onnx and onnxruntime (none of them is needed to compile the result):

    python examples/train_digits.py

The data is scikit-learn's `load_digits`: 1,797 pictures of 8x8 grey values 0..16, inside the package, no network.
The split is fixed and stratified: 1,197 to train, 600 to test; the calibration sample is taken from the training part.
The network takes the grey values as they are (`1x1x8x8` float32, NCHW) and scales them itself.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

SEED = 20240607
CALIBRATION_SAMPLES = 128
TEST_SAMPLES = 600
GREY_LEVELS = 16.0
REPOSITORY = Path(__file__).resolve().parent.parent


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm and, if asked, relu6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, relu6: bool = True
    ) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        activation: list[nn.Module] = [nn.ReLU6()] if relu6 else []
        super().__init__(convolution, nn.BatchNorm2d(outputs), *activation)


class InvertedResidual(nn.Module):
    """Pointwise, depthwise, pointwise, and the input added where the shape stays."""

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.expand = ConvNorm(inputs, hidden, 1)
        self.depthwise = ConvNorm(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = ConvNorm(hidden, outputs, 1, relu6=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H / stride, W / stride]."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class DigitsNet(nn.Module):
    """The bundled CNN: [N, 1, 8, 8] grey values 0..16 -> [N, 10] logits; about 14 thousand parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(1, 16, 3)
        self.blocks = nn.Sequential(
            InvertedResidual(16, 32, 16, stride=1),
            InvertedResidual(16, 48, 32, stride=2),
            InvertedResidual(32, 64, 32, stride=1),
        )
        self.head = ConvNorm(32, 64, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 1, 8, 8] -> [N, 10]."""
        features = self.head(self.blocks(self.stem(x * (1.0 / GREY_LEVELS))))
        logits: Tensor = self.classifier(torch.flatten(self.pool(features), 1))
        return logits


class Split:
    """The fixed split: pictures [N, 8, 8, 1] uint8 (NHWC), labels [N] int64."""

    def __init__(self) -> None:
        digits = load_digits()
        pictures = digits.images.astype(np.uint8)[..., np.newaxis]
        labels = digits.target.astype(np.int64)
        parts = train_test_split(
            pictures, labels, test_size=TEST_SAMPLES, random_state=SEED, stratify=labels, shuffle=True
        )
        self.train_x, self.test_x, self.train_y, self.test_y = parts


def to_nchw(pictures: NDArray[np.uint8]) -> Tensor:
    """[N, 8, 8, 1] uint8 -> [N, 1, 8, 8] float32, values unscaled."""
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float()


def shifted(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture moved by -1, 0 or 1 pixel in each direction, background at the border."""
    padded = nn.functional.pad(batch, (1, 1, 1, 1))
    offsets = torch.randint(0, 3, (len(batch), 2), generator=generator).tolist()
    return torch.stack([picture[:, y : y + 8, x : x + 8] for picture, (y, x) in zip(padded, offsets, strict=True)])


def train(split: Split, epochs: int) -> DigitsNet:
    """Train with AdamW under a one-cycle schedule and return the network in evaluation mode."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    network, batch_size = DigitsNet(), 64
    x, y = to_nchw(split.train_x), torch.from_numpy(split.train_y)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = -(-len(x) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, epochs=epochs, steps_per_epoch=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(x), generator=generator).split(batch_size):
            optimizer.zero_grad()
            loss = loss_of(network(shifted(x[chosen], generator)), y[chosen])
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        print(f"epoch {epoch + 1:2d}/{epochs}  loss {total / len(x):.4f}", flush=True)
    return network.eval()


def export(network: DigitsNet, path: Path) -> None:
    """Write a static batch-1 ONNX file, opset 17, with its batch norms left for the compiler to fold."""
    torch.onnx.export(
        network,
        (torch.zeros(1, 1, 8, 8),),
        str(path),
        input_names=["image"],
        output_names=["logits"],
        opset_version=17,
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
    )
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    norms = sum(node.op_type == "BatchNormalization" for node in model.graph.node)
    if norms == 0:
        raise SystemExit(f"{path}: the exporter folded the batch norms; the example is meant to keep them")
    print(f"{path}: {path.stat().st_size} bytes, {len(model.graph.node)} nodes, {norms} BatchNormalization")


def onnx_accuracy(path: Path, split: Split) -> float:
    """Share of the test pictures that the exported file classifies correctly in onnxruntime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    pictures = to_nchw(split.test_x).numpy()
    answers = [int(session.run(None, {"image": picture[np.newaxis]})[0].argmax()) for picture in pictures]
    return float(np.mean(np.array(answers) == split.test_y))


def calibration_indices(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of CALIBRATION_SAMPLES training pictures, digits in equal shares as far as the number allows."""
    by_digit = [np.flatnonzero(labels == digit) for digit in range(10)]
    rounds = [indices[turn] for turn in range(CALIBRATION_SAMPLES // 10 + 1) for indices in by_digit]
    return np.array(rounds[:CALIBRATION_SAMPLES])


def write_samples(split: Split, folder: Path) -> None:
    """Write `digits_calibration.npz` (from the training part) and `digits_eval.npz` (the test part): x, y."""
    chosen = calibration_indices(split.train_y)
    np.savez_compressed(folder / "digits_calibration.npz", x=split.train_x[chosen], y=split.train_y[chosen])
    np.savez_compressed(folder / "digits_eval.npz", x=split.test_x, y=split.test_y)


def main() -> None:
    """Train, export, check the exported file's accuracy, write the samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--onnx", type=Path, default=REPOSITORY / "examples" / "digits.onnx")
    parser.add_argument("--samples", type=Path, default=REPOSITORY / "calibration", help="folder of the .npz files")
    arguments = parser.parse_args()
    split = Split()
    network = train(split, arguments.epochs)
    export(network, arguments.onnx)
    accuracy = onnx_accuracy(arguments.onnx, split)
    print(f"test accuracy in onnxruntime: {100 * accuracy:.2f} % of {len(split.test_y)}")
    if accuracy < 0.97:
        raise SystemExit("test accuracy is below 97 %: nothing more is written")
    write_samples(split, arguments.samples)


if __name__ == "__main__":
    main()
