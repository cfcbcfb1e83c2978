from typing import Any

import numpy as np
import pytest

RNG = np.random.default_rng(0)
SIZES = {"b": 2, "h": 3, "i": 4, "j": 5, "k": 6}


def operand(letters: str) -> Any:
    return RNG.standard_normal([SIZES[letter] for letter in letters]).astype(np.float32)


@pytest.mark.parametrize(
    "equation",
    [
        "bhik,bhjk->bhij", "bhij,bhjk->bhik", "ij,jk->ik", "ij,jk", "bij,jk->bki", "i,j->ij", "i,i->", "bi,bi->b",
        "bhi,bh->bhi", "bij->bji", "bij->b", "ijk,b->kb", "bhik,khj->bij",
    ],
)  # fmt: skip
def test_equations(compare: Any, equation: str) -> None:
    terms = equation.split("->")[0].split(",")
    compare.check_node("Einsum", [operand(term) for term in terms], equation=equation)


def test_a_constant_operand(compare: Any) -> None:
    compare.check_node("Einsum", [operand("bij"), operand("jk")], constants=[1], equation="bij,jk->bik")


def test_refusals(compare: Any) -> None:
    dots = compare.refusal("Einsum", [operand("bij")], equation="......j->...")
    assert dots == "the equation '......j->...' does not fit its operands"
    twice = compare.refusal("Einsum", [RNG.random((3, 3)).astype(np.float32)], equation="ij->ii")
    assert twice == "the result of 'ij->ii' has axes that no operand has, or one of them twice"
    sizes = compare.refusal("Einsum", [operand("ij"), operand("kj")], equation="ij,ij->i")
    assert sizes == "the axis 'i' of 'ij,ij->i' has the sizes 4 and 6"


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("...ij,...jk->...ik", [(2, 3, 4, 5), (2, 3, 5, 6)]),
        ("...ij,jk->...ik", [(2, 3, 4, 5), (5, 6)]),
        ("...ij,...jk", [(1, 3, 4, 5), (2, 3, 5, 6)]),
        ("b...d,...d->b...", [(4, 2, 3, 5), (2, 3, 5)]),
        ("ii->i", [(4, 4)]),
        ("ii", [(4, 4)]),
        ("bii->b", [(3, 4, 4)]),
        ("...ii->...i", [(2, 3, 4, 4)]),
        ("iji,ik->jk", [(4, 5, 4), (4, 3)]),
        ("ij,jk,kl->il", [(3, 4), (4, 5), (5, 6)]),
        ("bi,bj,bk->bijk", [(2, 3), (2, 4), (2, 5)]),
        ("ij,ij,ij->j", [(3, 4), (3, 4), (3, 4)]),
    ],
)
def test_ellipses_diagonals_and_chains(compare: Any, equation: str, shapes: list[tuple[int, ...]]) -> None:
    operands = [RNG.random(shape).astype(np.float32) for shape in shapes]
    compare.check_node("Einsum", operands, equation=equation)
