"""`.pt2` archives: members, their JSON and their bytes changed; read by edgec's check, and by all of `load_pt2`.

Both need an interpreter with torch (`--python`).
"""

from __future__ import annotations

import io
import warnings
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from fuzz.case import Case
from fuzz.json_tree import mutate_json
from fuzz.mutate import mutate_bytes

ODD_NAMES = (
    "", "../x", "/etc/passwd", "models/other.json", "data/weights/weight_0", "data/sample_inputs/model.pt", "a" * 3000,
    "extra/x", "archive_version", "byteorder", "code/x.py", "data.pkl", "MODELS/model.json", "\0", "ü",
)  # fmt: skip
ODD_TEXTS = (
    "torch.ops.aten.add.Tensor", "torch.ops.aten.__class__", "os.system", "__import__('os').system('true')", "s0",
    "Symbol('s0')", "Pow(9, 9**9)", "9**9**9**9", "Max(" * 300, "L['x'].size()[0] == 4", "builtins.tuple", "getattr",
    "torch.ops.load_library", "lambda: 0", "x" * 5000, "Mod(s0, 0)", "FloorDiv(1, 0)", "Integer(" + "9" * 4000 + ")",
)  # fmt: skip
PICKLE = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."


@cache
def corpus() -> tuple[dict[str, bytes], ...]:
    """Members by name of small exported networks: layers, a dynamic dimension, several inputs."""
    import torch

    class Both(torch.nn.Module):
        def forward(self, a: Any, b: Any) -> Any:
            return (a + b, {"sum": a.sum() + b.mean()})

    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16, 2))
    linear = torch.nn.Linear(4, 2)
    dynamic = {"input": {0: torch.export.Dim("batch", min=1, max=9)}}
    x = torch.zeros(2, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        programs = [
            torch.export.export(layers.eval(), (torch.zeros(1, 3, 4, 4),)),
            torch.export.export(linear.eval(), (x,), dynamic_shapes=dynamic),
            torch.export.export(Both(), (x, x)),
        ]
        return tuple(_members(program) for program in programs)


def _members(program: Any) -> dict[str, bytes]:
    import torch

    stream = io.BytesIO()
    torch.export.save(program, stream)
    with zipfile.ZipFile(stream) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def _archive(random: Random, members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    deflated = random.random() < 0.05
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # duplicate names are wanted
        for name, data in members.items():
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED)
            if random.random() < 0.01:
                archive.writestr(name, data[: len(data) // 2])
    return stream.getvalue()


def random_archive(random: Random) -> bytes:
    """An archive with one or two members changed, or its bytes."""
    members = dict(random.choice(corpus()))
    if random.random() < 0.2:
        return mutate_bytes(random, _archive(random, members), [_archive(random, random.choice(corpus()))])
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice(list(members))
        kind = random.randrange(8)
        if name.endswith(".json") and kind < 6:
            members[name] = mutate_json(random, members[name], (*ODD_NAMES, *ODD_TEXTS))
        elif kind == 0:
            del members[name]
        elif kind == 1:
            root = name.partition("/")[0]
            members[f"{root}/{random.choice(ODD_NAMES)}"] = members[name]
        elif kind == 2:
            members[name] = random.choice((PICKLE, b"", *random.choice(corpus()).values()))
        else:
            members[name] = mutate_bytes(random, members[name], [PICKLE])
        if not members:
            break
    return _archive(random, members)


class ArchiveTarget:
    """`check_archive`: what is looked at before torch sees the file."""

    name = "pt2-archive"

    def make(self, random: Random) -> Case:
        """A new case."""
        return Case("net.pt2", {"net.pt2": random_archive(random)})

    def run(self, path: Path, case: Case) -> None:
        """Look through the archive."""
        from edgec.frontends.torch.archive import check_archive

        with path.open("rb") as file:
            check_archive(file, str(path))


class LoadTarget(ArchiveTarget):
    """`load_pt2`: the check, torch's reader, torch's exporter, the ONNX front end."""

    name = "pt2"

    def run(self, path: Path, case: Case) -> None:
        """Read the network as `edgec compile` does."""
        from edgec.frontends.torch import load_pt2

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load_pt2(path)
