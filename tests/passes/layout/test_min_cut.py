"""The minimum cut, against trying all cuts."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edgec.passes.layout.min_cut import Network

EDGES = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 20), st.integers(0, 20)), max_size=20
).map(lambda edges: [e for e in edges if e[0] != e[1]])


@given(EDGES)
def test_no_cut_is_cheaper(edges: list[tuple[int, int, int, int]]) -> None:
    network = Network()
    for _ in range(5):
        network.add_node()
    for edge in edges:
        network.add_edge(*edge)
    side = network.source_side()
    assert Network.SOURCE in side
    assert Network.SINK not in side
    others = [{0, *chosen} for n in range(6) for chosen in itertools.combinations(range(2, 7), n)]
    assert _capacity(edges, side) == min(_capacity(edges, other) for other in others)


def _capacity(edges: list[tuple[int, int, int, int]], side: set[int]) -> int:
    forth = sum(c for a, b, c, _ in edges if a in side and b not in side)
    return forth + sum(back for a, b, _, back in edges if b in side and a not in side)
