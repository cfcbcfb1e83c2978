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
    dots = compare.refusal("Einsum", [operand("bij")], equation="...j->...")
    assert dots == "the equation '...j->...' holds an ellipsis, which is not supported"
    twice = compare.refusal("Einsum", [RNG.random((3, 3)).astype(np.float32)], equation="ii->i")
    assert twice == "the equation 'ii->i' names an axis of one operand twice, which is not supported"
    sizes = compare.refusal("Einsum", [operand("ij"), operand("kj")], equation="ij,ij->i")
    assert sizes == "the axis 'i' of 'ij,ij->i' has the sizes 4 and 6"
