"""Ops that torch's exporter lacks are exported in terms of others, and give what torch gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.errors import ImportFailure
from edgec.frontends.torch import load_torch
from edgec.runtime.litert import LiteRTSession

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'edgec[torch]')")
pytest.importorskip("onnxscript", reason="onnxscript is not installed (pip install 'edgec[torch]')")
pytestmark = pytest.mark.torch
functional: Any = torch.nn.functional
Function = Callable[[Any], Any]
INDICES = torch.tensor([0, 2, 2, 5, 1, 3, 4, 2])
PLACES = torch.tensor([0, 2, 2, 5]).expand(1, 5, 6, 4)
OFFSETS = torch.tensor([0, 3, 3, 7])  # the second bag is empty


def network(function: Function) -> Any:
    class Network(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return function(x)

    return Network().eval()


def _assigned(x: Any, places: Any, value: Any) -> Any:
    y = x.clone()
    y[places] = value
    return y


CASES: dict[str, Function] = {
    "global max": lambda x: functional.adaptive_max_pool2d(x, 1),
    "bins that divide": lambda x: functional.adaptive_max_pool2d(x, (3, 2)),
    "bins that overlap": lambda x: functional.adaptive_max_pool2d(x, (4, 3), return_indices=True),
    "bins of a sequence": lambda x: functional.adaptive_max_pool1d(x[0], 4),
    "bins of a volume": lambda x: functional.adaptive_max_pool3d(x[None], (2, 4, 1)),
    "distances": lambda x: torch.cdist(x[0], x[0].flip(1)),
    "city block": lambda x: torch.cdist(x[0], x[0].flip(1), 1.0),
    "products": lambda x: x.cumprod(2),
    "bags": lambda x: functional.embedding_bag(INDICES, x[0, 0], OFFSETS),
    "bags of a table": lambda x: functional.embedding_bag(INDICES.view(2, 4), x[0, 0], mode="sum"),
    "largest of bags": lambda x: functional.embedding_bag(INDICES, x[0, 0], OFFSETS, mode="max"),
    "bags without a row": lambda x: functional.embedding_bag(INDICES, x[0, 0], OFFSETS, padding_idx=2),
    "weighted bags": lambda x: functional.embedding_bag(
        INDICES, x[0, 0], OFFSETS, mode="sum", per_sample_weights=x[0, 1].flatten()[:8]
    ),
    "inverse": lambda x: torch.inverse(x[0, :, :4, :4] + torch.eye(4).flip(0)),
    "equations": lambda x: torch.linalg.solve(x[0, :, :4, :4], x[0, :, :4, 4:]),
    "equations from the right": lambda x: torch.linalg.solve(x[0, :, :4, :4], x[0, :, 4:, :4], left=False),
    "equations of a vector": lambda x: torch.linalg.solve(x[0, 0, :3, :3], x[0, 0, :3, 3]),
    "marked places": lambda x: _assigned(x, x > 0.5, 0.0),
    "marked rows": lambda x: _assigned(x, x[..., 0] > 0, torch.arange(7.0)),
    "marked columns": lambda x: _assigned(x, (slice(None), slice(None), slice(None), x[0, 0, 0] > 0), -1.0),
    "running maximum": lambda x: x.cummax(1),
    "running minimum": lambda x: x.cummin(-1),
    "hypotenuse": lambda x: torch.hypot(x, x + 1),
    "sign of another": lambda x: torch.copysign(x, x.flip(-1)),
    "numbers first": lambda x: torch.fmax(x.log(), x) + torch.fmin(x, x.sqrt()),
    "means by place": lambda x: x.scatter_reduce(3, PLACES, x[..., :4], "mean"),
    "means of others": lambda x: x.scatter_reduce(3, PLACES, x[..., :4], "mean", include_self=False),
    "sums of others": lambda x: x.scatter_reduce(3, PLACES, x[..., :4], "sum", include_self=False),
    "largest of others": lambda x: (x + 9).scatter_reduce(3, PLACES, x[..., :4], "amax", include_self=False),
    "k-th": lambda x: x.kthvalue(3, 1),
    "median": lambda x: (x.median(), *x.median(-1, keepdim=True)),
    "random slope": lambda x: functional.rrelu(x),
    "places": lambda x: torch.searchsorted(torch.tensor([-1.0, 0.0, 0.5]), x, right=True),
    "row": lambda x: functional.interpolate(x[0], scale_factor=2.0, mode="linear"),
    "row by size": lambda x: functional.interpolate(x[0], size=13, mode="linear", align_corners=True),
}


@pytest.mark.parametrize("name", CASES)
def test_as_torch_has_it(name: str) -> None:
    torch.manual_seed(0)
    net, x = network(CASES[name]), torch.randn(1, 5, 6, 7)
    wanted = net(x)
    session = LiteRTSession(serialize(load_torch(net, x)))  # the reference kernels have no ROUND
    found = session.run([x.numpy()])
    for one, other in zip(found, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        assert one.shape == tuple(other.shape)
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-4, atol=1e-5)


def test_what_torch_traced_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    net = network(lambda x: x + 1 if x.sum() > 0 else x)
    with pytest.raises(ImportFailure, match=r"Exporting 'Network' with torch\.export"):
        load_torch(net, torch.ones(2))
    assert capsys.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_an_lstm_that_projects_its_state() -> None:
    torch.manual_seed(0)
    net = torch.nn.LSTM(6, 8, 2, batch_first=True, proj_size=3, bidirectional=True).eval()
    x = torch.randn(1, 5, 6)
    wanted, (hidden, cell) = net(x)
    session = LiteRTSession(serialize(load_torch(net, x)))
    for one, other in zip(session.run([x.numpy()]), (wanted, hidden, cell), strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_an_inverse_of_many_rows_is_refused() -> None:
    with pytest.raises(ImportFailure, match="40 x 40 matrices is written out step by step, for at most 32 rows"):
        load_torch(network(torch.inverse), torch.eye(40))
