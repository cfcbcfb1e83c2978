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


def network(function: Function) -> Any:
    class Network(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return function(x)

    return Network().eval()


CASES: dict[str, Function] = {
    "global max": lambda x: functional.adaptive_max_pool2d(x, 1),
    "bins that divide": lambda x: functional.adaptive_max_pool2d(x, (3, 2)),
    "bins that overlap": lambda x: functional.adaptive_max_pool2d(x, (4, 3), return_indices=True),
    "bins of a sequence": lambda x: functional.adaptive_max_pool1d(x[0], 4),
    "bins of a volume": lambda x: functional.adaptive_max_pool3d(x[None], (2, 4, 1)),
    "distances": lambda x: torch.cdist(x[0], x[0].flip(1)),
    "city block": lambda x: torch.cdist(x[0], x[0].flip(1), 1.0),
    "products": lambda x: x.cumprod(2),
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
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-5, atol=1e-5)


def test_what_torch_traced_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    net = network(lambda x: x + 1 if x.sum() > 0 else x)
    with pytest.raises(ImportFailure, match=r"Exporting 'Network' with torch\.export"):
        load_torch(net, torch.ones(2))
    assert capsys.readouterr() == ("", "")
