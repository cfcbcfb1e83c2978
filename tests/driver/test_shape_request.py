"""`--shape` as it is typed: sizes, open dimensions, and one sentence for every mistake."""

from __future__ import annotations

import pytest

from edgec.cli.parameters import read_shapes
from edgec.driver.shape_request import parse_requests, planned_sizes
from edgec.errors import ImportFailure
from edgec.ir.open_size import OpenSize, has_open_size


def test_sizes_and_open_dimensions() -> None:
    requests = parse_requests(read_shapes(["x=1, 224,224,3", "ids=?,128?", "a=b=-1,7"]))
    assert requests["x"].sizes == (1, 224, 224, 3)
    assert not requests["x"].open_axes
    assert requests["ids"].sizes == (1, 128)
    assert requests["ids"].open_axes == {0, 1}
    assert requests["a=b"].sizes == (1, 7)
    assert requests["a=b"].open_axes == {0}


def test_the_planned_size_of_an_open_dimension_is_marked() -> None:
    sizes = planned_sizes(parse_requests({"x": ["?", 3, "32?", 32]}))
    assert sizes == {"x": (1, 3, 32, 32)}
    assert [isinstance(size, OpenSize) for size in sizes["x"]] == [True, False, True, False]
    assert has_open_size(sizes)
    assert not has_open_size(planned_sizes(parse_requests({"x": ["?", 3]})))  # the batch alone


MISTAKES = {
    "no name": ("1,224,224,3", "write it as NAME=1,224,224,3, the input's name and a size for each of its dimensions."),
    "no sizes": ("input=", "write it as NAME=1,224,224,3, the input's name and a size for each of its dimensions."),
    "nothing": ("", "write it as NAME=1,224,224,3, the input's name and a size for each of its dimensions."),
    "open and empty": ("input=0?,3", "dimension 0 is open and planned for 0; plan it for a size above zero."),
    "letters": ("input=a,b", "'a' is no size; write NAME=1,224,224,3, with ? for an open batch."),
    "negative": ("input=1,-3", "'-3' is no size; write NAME=1,224,224,3, with ? for an open batch."),
    "fraction": ("input=1,2.5", "'2.5' is no size; write NAME=1,224,224,3, with ? for an open batch."),
    "other digits": ("input=1,²", "'²' is no size; write NAME=1,224,224,3, with ? for an open batch."),
    "empty entry": ("input=1,,3", "'' is no size; write NAME=1,224,224,3, with ? for an open batch."),
    "huge": ("input=99999999999999999999", "'99999999999999999999' is no size; write "),
    "overflow": ("input=1,65536,65536", "that is more than 2147483647 elements, the most a tensor holds."),
    "open without size": (
        "ids=1,?",
        "dimension 1 is to stay open without a size that memory and latency are planned for; write the size before "
        "the sign, such as 128?.",
    ),
    "open vector": ("n=?", "dimension 0 is to stay open without a size that memory and latency are planned for;"),
}


@pytest.mark.parametrize(("text", "reason"), MISTAKES.values(), ids=MISTAKES.keys())
def test_every_mistake_is_one_sentence(text: str, reason: str) -> None:
    with pytest.raises(ImportFailure) as caught:
        parse_requests(read_shapes([text]))
    assert str(caught.value).startswith(f"Reading --shape '{text}': {reason}")
    assert str(caught.value).count(". ") == 0


def test_a_product_beyond_any_float_is_a_sentence_too() -> None:
    with pytest.raises(ImportFailure, match="that is more than 2147483647 elements, the most a tensor holds"):
        parse_requests({"x": [9_999_999_999] * 32})


def test_an_input_is_given_once() -> None:
    with pytest.raises(ImportFailure, match=r"^Reading --shape 'x=1,3': input 'x' is given twice; keep one\.$"):
        read_shapes(["x=1,2", "x=1,3"])


def test_a_long_text_is_quoted_in_part() -> None:
    with pytest.raises(ImportFailure) as caught:
        parse_requests(read_shapes(["x=" + "1," * 5000 + "z"]))
    assert len(str(caught.value)) < 300
