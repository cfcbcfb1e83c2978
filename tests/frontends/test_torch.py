"""PyTorch networks: modules, `.pt2` archives and factories become the same model, and torch itself is the judge."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.driver import CompileOptions, CompileResult, compile_model
from edgec.driver.source import load_source
from edgec.errors import ImportFailure, MissingExtra, RuntimeFailure, TranslationFault
from edgec.frontends.torch import load_pt2, load_torch
from edgec.frontends.torch.state import remembered_buffers
from edgec.runtime.torch_source import TorchSession

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'edgec[torch]')")
pytest.importorskip("onnxscript", reason="onnxscript is not installed (pip install 'edgec[torch]')")
pytestmark = pytest.mark.torch

REPOSITORY = Path(__file__).resolve().parents[2]
nn: Any = torch.nn
Network: Any = nn.Module


class Small(Network):  # type: ignore[misc]
    """A picture to four logits and their sum; batch norm tells training from evaluation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = nn.BatchNorm2d(8)
        self.norm.running_mean.copy_(torch.linspace(-1, 1, 8))
        self.head = nn.Linear(8, 4)

    def forward(self, picture: Any) -> tuple[Any, Any]:
        pooled = torch.relu(self.norm(self.stem(picture))).mean((2, 3))
        logits = self.head(pooled)
        return logits, logits.sum(1)


def compiled(network: Any, example: Any, **options: Any) -> CompileResult:
    return compile_model(network, CompileOptions("pixel4", scheme="fp32", example_inputs=example, **options))


def picture() -> Any:
    return torch.zeros(1, 3, 16, 16)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "small.pt2"
    torch.export.save(torch.export.export(Small().eval(), (picture(),)), path)
    return path


# -- what comes in -----------------------------------------------------------------------------------------------------


def test_a_module_is_compiled_and_agrees_with_torch() -> None:
    result = compiled(Small().eval(), picture())
    check = result.report.checks.float_vs_source
    assert check is not None
    assert check.passed
    assert (check.reference or "").startswith("torch 2.")
    assert [v.shape for v in result.module.main.inputs] == [(1, 16, 16, 3)]  # NHWC
    assert [v.name for v in result.module.main.inputs] == ["picture"]
    assert [v.shape for v in result.module.main.outputs] == [(1, 4), (1,)]
    assert "transpose" not in Counter(op.opcode for op in result.module.main.ops)
    assert result.report.model.format == "torch"
    assert result.report.model.name == "Small"


def test_channels_stay_first_where_asked() -> None:
    result = compiled(Small().eval(), picture(), keep_nchw=True)
    assert result.module.main.inputs[0].shape == (1, 3, 16, 16)


def test_parameters_keep_their_names() -> None:
    module = load_torch(Small().eval(), picture())
    names = {operand.name for op in module.main.ops for operand in op.operands if operand and operand.is_constant}
    assert {"head.weight", "head.bias"} <= names


def test_a_module_in_training_mode_is_compiled_for_inference_and_left_in_training_mode() -> None:
    network = Small().train()
    network.head.eval()
    trained = compiled(network, picture())
    assert trained.artifact == compiled(Small().eval(), picture()).artifact
    assert network.training
    assert network.norm.training
    assert not network.head.training
    assert torch.equal(network.norm.running_mean, torch.linspace(-1, 1, 8))


def test_an_archive_gives_the_artifact_of_its_module(archive: Path) -> None:
    result = compile_model(archive, CompileOptions("pixel4", scheme="fp32"))
    check = result.report.checks.float_vs_source
    assert check is not None
    assert check.passed
    ours = compiled(Small().eval(), picture())
    assert [op.opcode for op in result.module.main.ops] == [op.opcode for op in ours.module.main.ops]
    assert len(result.artifact) == len(ours.artifact)
    assert result.report.model.format == "pt2"
    assert result.report.model.bytes == archive.stat().st_size


def test_dynamic_dimensions_are_fixed_by_shape(tmp_path: Path) -> None:
    path = tmp_path / "dynamic.pt2"
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(Small().eval(), (torch.zeros(4, 3, 16, 16),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    result = compile_model(path, CompileOptions("pixel4", scheme="fp32", shapes={"picture": (3, 3, 16, 16)}))
    assert result.module.main.inputs[0].shape == (3, 16, 16, 3)
    check = result.report.checks.float_vs_source
    assert check is not None
    assert check.passed


def test_example_inputs_take_other_shapes_and_dimensions_stay_open() -> None:
    fixed = compiled(Small().eval(), picture(), shapes={"picture": (2, 3, 20, 24)})
    assert fixed.module.main.inputs[0].shape == (2, 20, 24, 3)
    opened = compiled(Small().eval(), picture(), shapes={"picture": ("?", "16?", "20?", 3)})  # channels last
    assert [t.shape for t in opened.report.artifact.inputs] == [[-1, -1, -1, 3]]
    assert [t.shape for t in opened.report.artifact.outputs] == [[-1, 4], [-1]]
    note = next(d.message for d in opened.report.diagnostics if d.op == "open dimensions")
    assert "agrees with torch 2." in note
    for shape, reason in (((1, 3, 16), "has 4 dimensions, --shape gives 3"), ((1, 2, 16, 16), "expected input")):
        with pytest.raises(ImportFailure, match=reason):
            compiled(Small().eval(), picture(), shapes={"picture": shape})
    with pytest.raises(ImportFailure, match=r"there is no input 'x' \(--shape\); the inputs are picture\.$"):
        compiled(Small().eval(), picture(), shapes={"x": (1, 3, 16, 16)})


class Attention(Network):  # type: ignore[misc]
    """Tokens to their hidden states, by self-attention."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.table = nn.Embedding(30, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, ids: Any) -> dict[str, Any]:
        x = self.table(ids)
        hidden, _ = self.attention(x, x, x, need_weights=False)
        return {"hidden": hidden, "pooled": (hidden.mean(1), hidden.amax(1))}


def test_dynamic_shapes_of_an_archive_stay_open_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "attention.pt2"
    dims = {0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("length", max=512)}
    example = torch.zeros(2, 12, dtype=torch.long)
    torch.export.save(torch.export.export(Attention().eval(), (example,), dynamic_shapes=(dims,)), path)
    result = compile_model(path, CompileOptions("pixel4", scheme="fp32", shapes={"ids": ("?", "12?")}))
    assert [t.shape for t in result.report.artifact.outputs] == [[-1, -1, 16], [-1, 16], [-1, 16]]
    assert [t.name for t in result.report.artifact.outputs] == ["hidden", "pooled_0", "pooled_1"]
    assert [name for name, _ in result.module.signatures[0].outputs] == ["hidden", "pooled_0", "pooled_1"]


class Borders(Network):  # type: ignore[misc]
    """An input as it is, a value twice, and a constant."""

    def forward(self, x: Any) -> tuple[Any, ...]:
        total = x + 1
        return x, total, total, torch.ones(2)


def test_outputs_that_share_a_tensor_have_names_of_their_own() -> None:
    result = compiled(Borders(), torch.zeros(1, 4))
    names = [name for name, _ in result.module.signatures[0].outputs]
    assert len(set(names)) == 4
    assert [t.name for t in result.report.artifact.outputs] == names
    check = result.report.checks.float_vs_source
    assert check is not None
    assert check.passed


def test_a_factory_is_called_from_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\n"
        "class Held:\n"
        "    @staticmethod\n"
        "    def net():\n"
        "        print('noise of the factory is its own')\n"
        "        return torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU()), torch.zeros(1, 4)\n"
    )
    command = [sys.executable, "-c", "import sys; from edgec.cli import main; sys.exit(main())"]
    arguments = ["compile", "nets:Held.net", "-d", "pixel4", "--scheme", "fp32", "-o", "out"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.tflite").stat().st_size > 0
    assert "torchvision is not installed" not in done.stderr  # the exporter's own remarks
    assert "Warning" not in done.stderr


class Named(Network):  # type: ignore[misc]
    """Two inputs, one of integers, two outputs in a mapping."""

    def forward(self, scores: Any, places: Any) -> dict[str, Any]:
        return {"picked": scores.gather(1, places), "doubled": 2 * scores}


def test_inputs_by_name_and_integer_inputs() -> None:
    example = {"scores": torch.zeros(1, 5), "places": torch.zeros(1, 2, dtype=torch.int64)}
    source = load_source(Named().eval(), None, example)
    assert [v.name for v in source.module.main.inputs] == ["scores", "places"]
    feeds = {"scores": np.arange(5, dtype=np.float32)[None], "places": np.array([[4, 1]], np.int32)}
    outputs = source.runtime().run(feeds)
    assert [out.tolist() for out in outputs] == [[[4.0, 1.0]], [[0.0, 2.0, 4.0, 6.0, 8.0]]]


def test_two_exports_of_a_network_are_one_artifact_and_one_hash() -> None:
    first, second = compiled(Small().eval(), picture()), compiled(Small().eval(), picture())
    assert first.artifact == second.artifact
    assert first.report.model.sha256 == second.report.model.sha256


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    load_torch(Small().eval(), picture())
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


ZOO = ("resnet8", "mcunet_like_80", "mobilenet_v3_small_0.75_96", "unet", "shufflenet_v2_0.5", "small_gpt")


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_networks_of_the_zoo_agree_with_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    zoo = import_module("zoo")
    entry = zoo.networks()[name]
    network, example = zoo.build(entry)
    result = compiled(network, example)
    check = result.report.checks.float_vs_source
    assert check is not None
    assert check.max_rel_to_range is not None
    assert check.max_rel_to_range < 1e-5
    transposes = Counter(op.opcode for op in result.module.main.ops)["transpose"]
    assert transposes == 0 or name in ("shufflenet_v2_0.5", "small_gpt")


@pytest.mark.slow
def test_resnet20_with_the_shared_weights_keeps_its_accuracy(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    weights = shared_data / "models" / "pytorch_cifar10" / "resnet20-12fca82f.th"
    network = import_module("zoo.resnet").resnet20(weights).eval()
    result = compiled(network, torch.zeros(1, 3, 32, 32), check=False)
    from edgec.runtime.litert import LiteRTSession

    session = LiteRTSession(result.artifact)
    with np.load(shared_data / "datasets" / "cifar10" / "cifar10_test_shared_5000.npz") as data:
        pictures, labels = data["x"][:500].astype(np.float32) / 255, data["y"][:500]
    inputs = ((pictures - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy())).numpy()
    found = np.concatenate([session.run([one[None]])[0] for one in inputs])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.mean(found.argmax(1) == labels) > 0.9


# -- the judge ---------------------------------------------------------------------------------------------------------


class TwoFaced(Network):  # type: ignore[misc]
    """Computes something else while it is exported."""

    def forward(self, x: Any) -> Any:
        return x * 2 if torch.compiler.is_exporting() else x * 3


def test_a_translation_that_departs_from_torch_is_a_failure() -> None:
    with pytest.raises(TranslationFault, match="departs from torch 2"):
        compiled(TwoFaced().eval(), torch.zeros(1, 4))


def test_the_session_says_what_is_missing_and_what_failed() -> None:
    source = load_source(Named().eval(), None, (torch.zeros(1, 5), torch.zeros(1, 2, dtype=torch.int64)))
    with pytest.raises(RuntimeFailure, match="its inputs \\['places'\\] were not given"):
        source.runtime().run({"scores": np.zeros((1, 5), np.float32)})
    with pytest.raises(RuntimeFailure, match="it failed: index 9 is out of bounds"):
        source.runtime().run({"scores": np.zeros((1, 5), np.float32), "places": np.array([[9, 9]])})


def test_half_precision_comes_out_as_float32() -> None:
    spec = torch.utils._pytree.tree_flatten(((torch.zeros(2),), {}))[1]
    session = TorchSession(nn.Identity(), spec, ["x"], [torch.bfloat16])
    (out,) = session.run({"x": np.array([1.5, 2.0], np.float32)})
    assert out.dtype == np.float32
    assert out.tolist() == [1.5, 2.0]


class Scratch(Network):  # type: ignore[misc]
    """Writes buffers that no later run reads; takes and returns more than tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scratch", torch.zeros(2, 4))
        self.register_buffer("runs", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Any, scale: float = 1.0, mode: str = "", extra: Any = None) -> Any:
        self.scratch.copy_(x)
        self.runs += 1
        y = self.scratch * scale
        return {"y": y if mode == "plain" else y + 1, "count": 3, "none": extra, "z": [y - 1]}


def test_constants_among_arguments_and_results() -> None:
    example = {"x": torch.ones(2, 4), "scale": 2.5, "mode": "plain", "extra": None}
    result = compiled(Scratch(), example)
    assert [name for name, _ in result.module.signatures[0].outputs] == ["y", "z_0"]
    check = result.report.checks.float_vs_source
    assert check is not None
    assert check.passed


class MaskedAttention(Network):  # type: ignore[misc]
    """Positions that are masked have no part: where all are, torch gives NaN."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Any, mask: Any) -> Any:
        return self.attention(x, x, x, key_padding_mask=mask)[0]


def test_feeds_on_which_torch_gives_no_numbers_are_left_out() -> None:
    mask = torch.tensor([[False, False, True]])
    result = compiled(MaskedAttention(), (torch.randn(1, 3, 8), mask))
    check = result.report.checks.float_vs_source
    assert check is not None
    assert check.passed
    assert check.finite
    assert check.samples in range(1, 9)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch itself
def test_ops_in_place_that_reach_no_buffer_cost_no_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    decomposed: list[str] = []
    original = torch.export.ExportedProgram.run_decompositions

    def counted(self: Any, *given: Any, **options: Any) -> Any:
        decomposed.append("run")
        return original(self, *given, **options)

    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)).eval()
    program = torch.export.export(network, (torch.zeros(1, 3, 8, 8),))
    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", counted)
    assert any(getattr(node.target, "_schema", None) and node.target._schema.is_mutable for node in program.graph.nodes)
    assert remembered_buffers(program) == []
    assert decomposed == []
    program = torch.export.export(RunningMean(), (torch.zeros(1, 4),))
    assert remembered_buffers(program) == ["mean"]
    assert decomposed == ["run"]


# -- what is refused ---------------------------------------------------------------------------------------------------


class RunningMean(Network):  # type: ignore[misc]
    """Keeps a state from run to run."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 4))

    def forward(self, x: Any) -> Any:
        self.mean.mul_(0.9).add_(x)
        return x - self.mean


class RunningMeanThroughView(RunningMean):
    """Writes its state through views of views."""

    def forward(self, x: Any) -> Any:
        row = self.mean.flatten().reshape(2, 2).contiguous().view(4)
        row[1:].mul_(0.9)
        row.add_(x[0])
        return x - self.mean


class ReadsNumbers(Network):  # type: ignore[misc]
    """Returns numbers of Python."""

    def forward(self, x: Any) -> Any:
        return x.tolist()


class DependsOnData(Network):  # type: ignore[misc]
    """What torch.export cannot trace."""

    def forward(self, x: Any) -> Any:
        return x + 1 if x.sum() > 0 else x - 1


@pytest.mark.parametrize(
    ("network", "example", "sentence"),
    [
        (
            DependsOnData(),
            torch.zeros(1, 4),
            "Exporting 'DependsOnData' with torch.export: what is computed in forward (test_torch.py, line ",
        ),
        (
            nn.Conv2d(3, 4, 3),
            torch.zeros(1, 8, 8, 3),
            "Running 'Conv2d' on its example inputs (float32[1, 8, 8, 3]): RuntimeError: Given groups=1",
        ),
        (
            nn.Linear(4, 4, device="meta"),
            torch.zeros(1, 4),
            "Reading 'Linear': 'weight' is on the device 'meta', and edgec works on the CPU; move",
        ),
        (
            RunningMean(),
            torch.zeros(1, 4),
            "Reading 'RunningMean': a run of the network changes its buffer 'mean', and the next run reads it (1 such",
        ),
        (
            RunningMeanThroughView(),
            torch.zeros(1, 4),
            "Reading 'RunningMeanThroughView': a run of the network changes its buffer 'mean', and the next run",
        ),
        (ReadsNumbers(), torch.zeros(4), "Reading 'ReadsNumbers': the network returns numbers that it reads"),
        (nn.ReLU, torch.zeros(1), "Reading 'type': it is the class 'ReLU' itself, no torch.nn.Module; give an"),
        (nn.ReLU(), None, "Reading 'ReLU': its example inputs are missing; give one tensor"),
        (nn.ReLU(), 3, "Reading 'ReLU': its example inputs are a int; give one tensor"),
        (nn.ReLU(), (torch.zeros(1), {2}), "Reading 'ReLU': its example inputs are a sequence of Tensor, set; give"),
        (
            {"state": 1},
            torch.zeros(1),
            "Reading 'dict': it is a dict, no torch.nn.Module; weights alone are no network",
        ),
    ],
)
def test_mistakes_are_one_sentence(network: Any, example: Any, sentence: str) -> None:
    with pytest.raises(ImportFailure) as caught:
        compiled(network, example)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("def f(): return 1", "the function returned a int; it shall return a pair"),
        ("def f(): raise OSError('no weights')", "calling f() failed with OSError: no weights."),
        ("x = 1", "failed with AttributeError"),
        ("import nowhere_at_all", "failed with ModuleNotFoundError"),
    ],
)
def test_factories_that_fail(code: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"failing_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code)
    with pytest.raises(ImportFailure) as caught:
        load_source(f"{name}:f")
    assert sentence in str(caught.value)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_an_archive_whose_sample_inputs_are_code_is_refused(archive: Path, tmp_path: Path) -> None:
    touched, hostile = tmp_path / "touched", tmp_path / "hostile.pt2"
    payload = io.BytesIO()
    torch.save((Payload(touched),), payload, pickle_module=pickle)
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(hostile, "w") as target:
        for info in source.infolist():
            sample = "sample_inputs" in info.filename
            target.writestr(info.filename, payload.getvalue() if sample else source.read(info))
    with pytest.raises(ImportFailure, match="sample inputs hold more than tensors, which can run code"):
        load_pt2(hostile)
    assert not touched.exists()
    torch.load(io.BytesIO(payload.getvalue()), weights_only=False)
    assert touched.exists()  # the payload does work


def test_a_damaged_archive_is_one_sentence(archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    broken = tmp_path / "broken.pt2"
    for cut in (0, 10, len(data) // 2, len(data) - 30):
        broken.write_bytes(data[:cut])
        with pytest.raises(ImportFailure) as caught:
            load_pt2(broken)
        assert "\n" not in str(caught.value)


def test_an_exporter_that_needs_a_newer_onnxscript_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def export(*_: object, **__: object) -> None:
        module = "onnxscript._framework_apis.torch_9_9"
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setattr(torch.onnx, "export", export)
    with pytest.raises(MissingExtra) as caught:
        load_torch(Small().eval(), torch.zeros(1, 3, 16, 16))
    message = str(caught.value)
    assert "the installed onnxscript is too old for torch" in message
    assert message.endswith("install a newer one with pip install --upgrade onnxscript.")
