"""Mapped constants keep their data when their pages are given back."""

import re
from pathlib import Path

import numpy as np
import pytest

from edgec.ir.graph import Graph, Module
from edgec.ir.mapped import release_pages

ELEMENTS = 16 << 20


def resident_mapped_bytes() -> int:
    found = re.search(r"RssFile:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_pages_are_given_back_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    np.arange(ELEMENTS, dtype=np.float32).tofile(path)
    mapped = np.memmap(path, np.float32, "r", shape=(4096, ELEMENTS // 4096))
    graph = Graph("main")
    graph.outputs = [graph.constant(mapped.reshape(-1)[4:], "w")]
    total = float(mapped.sum())
    before = resident_mapped_bytes()
    release_pages(Module([graph]))
    assert before - resident_mapped_bytes() > 3 * ELEMENTS
    assert float(mapped.sum()) == total


def test_memory_of_its_own_stays() -> None:
    array = np.ones(8 << 20, np.float32)
    array.flags.writeable = False
    graph = Graph("main")
    graph.outputs = [graph.constant(array, "w")]
    release_pages(Module([graph]))
    assert array.all()
