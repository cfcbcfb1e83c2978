from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgec.backends.tflite import serialize
from edgec.driver.pipeline import build_pipeline
from edgec.errors import UnsupportedOp
from edgec.frontends.onnx import read_onnx
from edgec.passes.base import PassContext
from edgec.passes.manager import run_passes
from edgec.runtime.litert import LiteRTSession
from edgec.target.load import load_target

FLOAT, BOOL, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL, onnx.TensorProto.INT64
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def branch(op_type: str) -> onnx.GraphProto:
    node = helper.make_node(op_type, ["x"], [f"{op_type}_out"])
    return helper.make_graph([node], op_type, [], [onnx.ValueInfoProto(name=f"{op_type}_out")])


def if_node() -> onnx.NodeProto:
    return helper.make_node("If", ["c"], ["y"], name="node", then_branch=branch("Neg"), else_branch=branch("Exp"))


@pytest.mark.parametrize("condition", [True, False])
def test_a_constant_condition_takes_one_branch(compare: Any, condition: bool) -> None:
    model = compare.nodes_model([if_node()], {"x": X}, ["y"], constants={"c": np.array(condition)})
    module = compare.check_onnx(model, {"x": X})
    assert [op.opcode for op in module.main.ops] == ["neg" if condition else "exp"]


@pytest.mark.parametrize("condition", [True, False])
def test_a_condition_of_run_time_becomes_an_if(compare: Any, condition: bool) -> None:
    feeds = {"x": X, "c": np.array(condition)}
    module = compare.check_onnx(compare.nodes_model([if_node()], feeds, ["y"]), feeds)
    assert [[op.opcode for op in graph.ops] for graph in module.graphs] == [["if"], ["neg"], ["exp"]]


def test_branches_of_other_shapes_are_refused(compare: Any) -> None:
    other = helper.make_graph(
        [helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0)], "s", [], [onnx.ValueInfoProto(name="s")]
    )
    node = helper.make_node("If", ["c"], ["y"], name="node", then_branch=branch("Neg"), else_branch=other)
    model = compare.nodes_model([node], {"x": X, "c": np.array(True)}, ["y"])
    with pytest.raises(
        UnsupportedOp, match=r"'node' \(If\).*: its branches give float32\[2,3\] and float32\[\], and the"
    ):
        read_onnx(model.SerializeToString())


def loop(trips: Any) -> tuple[onnx.NodeProto, dict[str, Any]]:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["still_on"]),
            helper.make_node("Cast", ["i"], ["step"], to=FLOAT),
            helper.make_node("Add", ["state", "step"], ["next"]),
            helper.make_node("Mul", ["next", "factor"], ["shown"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []), helper.make_tensor_value_info("on", BOOL, []),
            helper.make_tensor_value_info("state", FLOAT, [2, 3]),
        ],
        [
            helper.make_tensor_value_info("still_on", BOOL, []), helper.make_tensor_value_info("next", FLOAT, [2, 3]),
            helper.make_tensor_value_info("shown", FLOAT, [2, 3]),
        ],
        [numpy_helper.from_array(np.float32(3), "factor")],
    )  # fmt: skip
    node = helper.make_node("Loop", ["n", "c", "x"], ["y", "all"], name="node", body=body)
    return node, {"n": np.array(trips), "c": np.array(True)}


def test_a_loop_is_unrolled(compare: Any) -> None:
    node, constants = loop(4)
    compare.check_onnx(compare.nodes_model([node], {"x": X}, ["y", "all"], constants=constants), {"x": X})


def test_a_loop_of_many_steps_is_a_while(compare: Any) -> None:
    node, constants = loop(700)
    module = compare.check_onnx(compare.nodes_model([node], {"x": X}, ["y", "all"], constants=constants), {"x": X})
    assert "while" in [op.opcode for op in module.main.ops]
    assert sum(len(graph) for graph in module.graphs) < 200


def test_what_a_loop_collects_for_nobody_needs_no_room(compare: Any) -> None:
    node, constants = loop(3)
    trips = {"n": constants.pop("n")}
    feeds = {"x": X, **trips}
    module = compare.check_onnx(compare.nodes_model([node], feeds, ["y"], constants=constants), feeds)
    assert [op.opcode for op in module.main.ops if op.opcode == "while"] == ["while"]
    model = compare.nodes_model([node], feeds, ["y", "all"], constants=constants)
    with pytest.raises(UnsupportedOp, match="how many rows 'all' collects is only known at run time"):
        read_onnx(model.SerializeToString())


def test_a_loop_that_collects_too_much_is_refused(compare: Any) -> None:
    node, constants = loop(10**8)
    model = compare.nodes_model([node], {"x": X}, ["y", "all"], constants=constants)
    with pytest.raises(UnsupportedOp, match=r"collects a result of shape \[100000000, 2, 3\], more than"):
        read_onnx(model.SerializeToString())


@pytest.mark.parametrize("backwards", [0, 1])
def test_a_scan_is_unrolled(compare: Any, backwards: int) -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["sum", "entry"], ["next"]), helper.make_node("Neg", ["next"], ["shown"])],
        "body",
        [helper.make_tensor_value_info(name, FLOAT, [2]) for name in ("sum", "entry")],
        [helper.make_tensor_value_info(name, FLOAT, [2]) for name in ("next", "shown")],
    )
    node = helper.make_node(
        "Scan", ["zero", "x"], ["total", "sums"], body=body, num_scan_inputs=1, scan_input_axes=[1],
        scan_input_directions=[backwards], scan_output_axes=[1], scan_output_directions=[backwards],
    )  # fmt: skip
    model = compare.nodes_model([node], {"x": X}, ["total", "sums"], constants={"zero": np.zeros(2, np.float32)})
    compare.check_onnx(model, {"x": X})


def test_a_scan_of_more_inputs_than_it_has_is_refused(compare: Any) -> None:
    node = helper.make_node("Scan", ["x"], ["y"], body=branch("Neg"), num_scan_inputs=2**31)
    model = compare.nodes_model([node], {"x": X}, ["y"])
    with pytest.raises(UnsupportedOp, match="num_scan_inputs is 2147483648, it has 1 inputs"):
        read_onnx(model.SerializeToString())


def values(*shapes: tuple[str, int, list[int] | None]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in shapes]


def compiled(data: bytes, *, xnnpack: bool) -> Any:
    """The model through the passes of mobile-cpu, ready to run."""
    target = load_target("mobile-cpu")
    module = read_onnx(data)
    pipeline = build_pipeline(target, {"move_transposes": {"keep_nchw": True}})
    run_passes(module, [*pipeline.before, *pipeline.after], PassContext(target=target))
    return LiteRTSession(serialize(module), xnnpack=xnnpack)


def check_runs(compare: Any, model: onnx.ModelProto, runs: list[dict[str, Any]], opcode: str) -> None:
    """One session after another set of inputs, with and without XNNPACK, before and after the passes."""
    data = model.SerializeToString()
    module = read_onnx(data)
    assert opcode in [op.opcode for graph in module.graphs for op in graph.ops]
    names = [value.name for value in module.main.inputs]
    for session in (LiteRTSession(serialize(module)), compiled(data, xnnpack=True), compiled(data, xnnpack=False)):
        for feeds in [*runs, *runs]:
            found = session.run([feeds[name] for name in names])
            for output, got, expected in zip(model.graph.output, found, compare.expected_outputs(model, feeds)):
                compare.assert_close(output.name, got, expected)


def test_an_if_of_captured_and_constant_results(compare: Any) -> None:
    # One branch gives a captured value and a constant, the other computes; a branch inside of a branch.
    inner_then = helper.make_graph([helper.make_node("Mul", ["h", "w"], ["a"])], "a", [], values(("a", FLOAT, None)))
    inner_else = helper.make_graph([helper.make_node("Sub", ["x", "h"], ["b"])], "b", [], values(("b", FLOAT, None)))
    then = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["h"]),
            helper.make_node("If", ["d"], ["deep"], then_branch=inner_then, else_branch=inner_else),
            helper.make_node("Add", ["deep", "deep"], ["t1"]),
            helper.make_node("Neg", ["x"], ["t2"]),
        ],
        "then", [], values(("t1", FLOAT, None), ("t2", FLOAT, None)),
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["o1"]), helper.make_node("Identity", ["w"], ["o2"])],
        "other", [], values(("o1", FLOAT, None), ("o2", FLOAT, None)),
    )  # fmt: skip
    node = helper.make_node("If", ["c"], ["y", "z"], name="node", then_branch=then, else_branch=other)
    runs = [{"x": X * f, "c": np.array(c), "d": np.array(d)} for f, c, d in
            ((1, True, True), (-1, True, False), (2, False, True))]  # fmt: skip
    model = compare.nodes_model([node], runs[0], ["y", "z"], constants={"w": X + 1})
    check_runs(compare, model, runs, "if")


def counting_loop(collect: bool, *, stop: bool) -> onnx.GraphProto:
    """state = state * 2 + captured + i, until the sum exceeds a captured limit (`stop`)."""
    nodes = [
        helper.make_node("Cast", ["i"], ["step"], to=FLOAT),
        helper.make_node("Mul", ["state", "two"], ["doubled"]),
        helper.make_node("Add", ["doubled", "captured"], ["moved"]),
        helper.make_node("Add", ["moved", "step"], ["next"]),
        helper.make_node("ReduceSum", ["next"], ["sum"], keepdims=0),
        helper.make_node("Less", ["sum", "limit"], ["below"]),
        helper.make_node("Identity", ["below" if stop else "on"], ["still_on"]),
        helper.make_node("MatMul", ["next", "matrix"], ["row"]),
    ]
    outputs = [("still_on", BOOL, []), ("next", FLOAT, [2, 3]), *([("row", FLOAT, [2, 2])] if collect else [])]
    inputs = values(("i", INT64, []), ("on", BOOL, []), ("state", FLOAT, [2, 3]))
    constants = [numpy_helper.from_array(np.float32(2), "two")]
    return helper.make_graph(nodes, "body", inputs, values(*outputs), constants)


RANDOM = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
MATRIX = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)


def test_a_loop_of_a_trip_count_of_run_time(compare: Any) -> None:
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], name="node", body=counting_loop(False, stop=False))
    more = {"captured": X, "limit": np.array(1e9, np.float32)}
    runs = [{"x": X, "n": np.array([n], np.int64), **more} for n in (0, 1, 7, 3)]
    check_runs(compare, compare.nodes_model([node], runs[0], ["y"], constants={"matrix": MATRIX}), runs, "while")


@pytest.mark.parametrize("bounded", [True, False])
def test_a_loop_that_ends_by_its_condition(compare: Any, bounded: bool) -> None:
    # With a constant trip count or none, the condition decides at run time.
    names = ["n" if bounded else "", "c", "x"]
    node = helper.make_node("Loop", names, ["y"], name="node", body=counting_loop(False, stop=True))
    runs = [
        {"x": X, "captured": X, "limit": np.array(limit, np.float32), "c": np.array(c)}
        for limit, c in ((1e3, True), (0, True), (1e9, True), (1e3, False))
    ]
    constants = {"matrix": MATRIX, **({"n": np.array(5)} if bounded else {})}
    check_runs(compare, compare.nodes_model([node], runs[0], ["y"], constants=constants), runs, "while")


def test_a_known_trip_count_with_a_condition_of_run_time_is_no_unrolled_loop(compare: Any) -> None:
    node = helper.make_node("Loop", ["n", "c", "x"], ["y"], name="node", body=counting_loop(False, stop=True))
    runs = [{"x": X, "captured": X, "limit": np.array(limit, np.float32)} for limit in (1e9, 50, 0)]
    constants = {"matrix": MATRIX, "n": np.array(4), "c": np.array(True)}
    check_runs(compare, compare.nodes_model([node], runs[0], ["y"], constants=constants), runs, "while")
    module = read_onnx(compare.nodes_model([node], runs[0], ["y"], constants=constants).SerializeToString())
    assert [op.opcode for op in module.main.ops] == ["while"]  # nothing is left of the attempt to unroll


def test_what_a_loop_of_unknown_length_collects_is_refused(compare: Any) -> None:
    node = helper.make_node("Loop", ["n", "", "x"], ["y", "all"], name="node", body=counting_loop(True, stop=False))
    feeds = {"x": X, "captured": X, "limit": np.array(1e9, np.float32), "n": np.array(3)}
    model = compare.nodes_model([node], feeds, ["y", "all"], constants={"matrix": MATRIX})
    message = "how many rows 'all' collects is only known at run time, and the model states no shape for it"
    with pytest.raises(UnsupportedOp, match=message):
        read_onnx(model.SerializeToString())


def test_what_a_loop_collects_has_the_shape_the_model_states(compare: Any) -> None:
    node = helper.make_node("Loop", ["n", "", "x"], ["y", "all"], name="node", body=counting_loop(True, stop=False))
    runs = [{"x": X * f, "captured": X, "limit": np.array(1e9, np.float32), "n": np.array(3)} for f in (1, 2)]
    model = compare.nodes_model([node], runs[0], ["y", "all"], constants={"matrix": MATRIX})
    del model.graph.output[:]
    model.graph.output.extend(values(("y", FLOAT, [2, 3]), ("all", FLOAT, [3, 2, 2])))
    check_runs(compare, model, runs, "while")


def test_a_window_that_moves_with_the_counter(compare: Any) -> None:
    # table[i + 1 : i + 3] has two rows whatever i is.
    nodes = [
        helper.make_node("Unsqueeze", ["i", "axis"], ["at"]), helper.make_node("Add", ["at", "one"], ["begin"]),
        helper.make_node("Add", ["i", "three"], ["after"]), helper.make_node("Unsqueeze", ["after", "axis"], ["end"]),
        helper.make_node("Slice", ["table", "begin", "end"], ["window"]),
        helper.make_node("Add", ["state", "window"], ["next"]), helper.make_node("Identity", ["on"], ["still"]),
    ]  # fmt: skip
    constants = {"axis": np.array([0]), "one": np.array([1]), "three": np.array(3), "table": RANDOM}
    body = helper.make_graph(
        nodes, "body", values(("i", INT64, []), ("on", BOOL, []), ("state", FLOAT, [2, 3])),
        values(("still", BOOL, []), ("next", FLOAT, [2, 3])),
    )  # fmt: skip
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], name="node", body=body)
    runs = [{"x": X, "n": np.array(n)} for n in (0, 1, 6)]
    check_runs(compare, compare.nodes_model([node], runs[0], ["y"], constants=constants), runs, "while")


def test_a_loop_without_end_is_refused(compare: Any) -> None:
    node = helper.make_node("Loop", ["", "", "x"], ["y"], name="node", body=counting_loop(False, stop=False))
    feeds = {"x": X, "captured": X, "limit": np.array(1e9, np.float32)}
    model = compare.nodes_model([node], feeds, ["y"], constants={"matrix": MATRIX})
    with pytest.raises(UnsupportedOp, match="it never ends: it has no trip count, and its condition is always true"):
        read_onnx(model.SerializeToString())


def test_a_value_that_grows_from_step_to_step_is_refused(compare: Any) -> None:
    body = helper.make_graph(
        [helper.make_node("Concat", ["s", "s"], ["t"], axis=0), helper.make_node("Identity", ["on"], ["still"])],
        "body", values(("i", INT64, []), ("on", BOOL, []), ("s", FLOAT, None)),
        values(("still", BOOL, []), ("t", FLOAT, None)),
    )  # fmt: skip
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], name="node", body=body)
    feeds = {"x": X, "n": np.array(3)}
    with pytest.raises(UnsupportedOp, match=r"its value 'x' goes in as float32\[2,3\] and comes out as float32\[4,3\]"):
        read_onnx(compare.nodes_model([node], feeds, ["y"]).SerializeToString())
    model = compare.nodes_model([node], {"x": X}, ["y"], constants={"n": np.array(3)})
    compare.check_onnx(model, {"x": X})  # a known number of steps is written out


def test_a_loop_with_a_branch_and_a_loop_inside(compare: Any) -> None:
    twice = helper.make_graph(
        [helper.make_node("Add", ["s", "x"], ["t"]), helper.make_node("Identity", ["on2"], ["still2"])],
        "twice", values(("j", INT64, []), ("on2", BOOL, []), ("s", FLOAT, [2, 3])),
        values(("still2", BOOL, []), ("t", FLOAT, [2, 3])),
    )  # fmt: skip
    then = helper.make_graph(
        [helper.make_node("Loop", ["i", "", "state"], ["grown"], body=twice)],
        "then", [], values(("grown", FLOAT, [2, 3])),
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Neg", ["state"], ["turned"])], "o", [], values(("turned", FLOAT, [2, 3]))
    )
    body = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["state"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "limit"], ["large"]),
            helper.make_node("If", ["large"], ["next"], then_branch=other, else_branch=then),
            helper.make_node("Identity", ["on"], ["still"]),
        ],
        "body", values(("i", INT64, []), ("on", BOOL, []), ("state", FLOAT, [2, 3])),
        values(("still", BOOL, []), ("next", FLOAT, [2, 3])),
    )  # fmt: skip
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], name="node", body=body)
    runs = [
        {"x": X * f, "n": np.array(n), "limit": np.array(20, np.float32)} for f, n in ((1, 0), (1, 6), (-1, 5), (3, 2))
    ]
    check_runs(compare, compare.nodes_model([node], runs[0], ["y"]), runs, "while")


def test_a_convolution_inside_of_a_branch(compare: Any) -> None:
    # The layout pass works inside, and may not change what the branches take and give.
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 3, 6, 6)).astype(np.float32)
    weights = {name: rng.standard_normal((3, 3, 3, 3)).astype(np.float32) for name in ("w0", "w1", "w2")}
    branches = [
        helper.make_graph(
            [helper.make_node("Conv", ["h", w], [f"{w}_out"], pads=[1, 1, 1, 1])], w, [],
            values((f"{w}_out", FLOAT, [1, 3, 6, 6])),
        )
        for w in ("w1", "w2")
    ]  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("If", ["c"], ["z"], name="node", then_branch=branches[0], else_branch=branches[1]),
        helper.make_node("Conv", ["z", "w0"], ["y"]),
    ]
    runs = [{"x": image, "c": np.array(c)} for c in (True, False)]
    check_runs(compare, compare.nodes_model(nodes, runs[0], ["y"], constants=weights), runs, "if")


@pytest.mark.parametrize("backwards", [0, 1])
def test_a_scan_of_many_steps_is_a_while(compare: Any, backwards: int) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["sum", "half"], ["less"]), helper.make_node("Add", ["less", "entry"], ["next"]),
            helper.make_node("Neg", ["next"], ["shown"]),
        ],
        "body", values(("sum", FLOAT, [2]), ("entry", FLOAT, [2])), values(("next", FLOAT, [2]), ("shown", FLOAT, [2])),
    )  # fmt: skip
    node = helper.make_node(
        "Scan", ["zero", "x"], ["total", "sums"], body=body, num_scan_inputs=1, scan_input_axes=[1],
        scan_input_directions=[backwards], scan_output_axes=[1], scan_output_directions=[backwards],
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2, 900)).astype(np.float32)
    constants = {"zero": np.zeros(2, np.float32), "half": np.float32(0.5)}
    check_runs(
        compare, compare.nodes_model([node], {"x": x}, ["total", "sums"], constants=constants), [{"x": x}], "while"
    )


def test_a_scan_of_opset_8(compare: Any) -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["sum", "entry"], ["next"]), helper.make_node("Neg", ["next"], ["shown"])],
        "body", values(("sum", FLOAT, [2]), ("entry", FLOAT, [2])), values(("next", FLOAT, [2]), ("shown", FLOAT, [2])),
    )  # fmt: skip
    node = helper.make_node("Scan", ["", "zero", "x"], ["total", "sums"], body=body, num_scan_inputs=1)
    x = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)
    feeds = {"zero": np.ones((2, 2), np.float32), "x": x}
    compare.check_onnx(compare.nodes_model([node], feeds, ["total", "sums"], opset=8), feeds)
