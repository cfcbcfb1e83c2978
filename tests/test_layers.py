"""The house itself: who imports whom, what `import edgec` loads, docstrings, and what must not be in the repository."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgec.ops
from edgec.ops import FAMILIES

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "edgec"

# Layer: the layers it may import, from the bottom up (DESIGN, section 3).
BELOW_PASSES = {"errors", "diagnostics", "schema", "ir", "ops"}
ALLOWED = {
    "errors": set(),
    "diagnostics": set(),
    "schema": {"errors"},  # the codec knows bytes and trees, nothing of graphs
    "ir": {"errors", "diagnostics", "schema"},  # the schema gives the defaults of attributes
    "ops": {"errors", "diagnostics", "schema", "ir"},
    "frontends": BELOW_PASSES,  # never each other, nor the passes
    "backends": BELOW_PASSES,
    "runtime": BELOW_PASSES | {"backends"},  # `evaluate` serializes what it runs
    "target": BELOW_PASSES,  # legality rules look at ops
    "passes": BELOW_PASSES | {"runtime", "target"},  # folding runs real kernels; legalization asks the target
    "compress": BELOW_PASSES | {"runtime", "backends", "target", "passes"},  # probes serialize and run
    "quant": BELOW_PASSES | {"runtime", "backends", "target", "passes"},  # calibration serializes and runs
    "memory": {"errors", "ir", "ops"},
    "cost": {"errors", "ir", "ops", "target", "memory"},  # the device profile lives beside the target
    "report": {"errors"},  # plain data and its presentation; the driver fills it in
    "data": {"errors"},
    "driver": {
        *BELOW_PASSES, "frontends", "backends", "runtime", "target", "passes", "compress", "quant", "memory", "cost",
        "report", "data", "__version__",
    },  # the only place that knows all stages
    "cli": {"errors", "diagnostics", "ir", "ops", "target", "driver", "report", "__version__"},
    "__main__": {"cli"},
    "__init__": {"errors", "target", "driver"},  # lazily: the public names
}  # fmt: skip
# Single modules that may know more, and why.
EXCEPTIONS = {
    ("edgec.cli.opt", "passes"): "the developer's tool runs passes on a text, without a compilation around them",
    ("edgec.cli.inspect", "cost"): "shows the MACs of a file, without a device or a compilation",
}
# Front ends that may use another one's public functions, and why.
FRONT_END_EXCEPTIONS = {
    ("torch", "onnx"): "torch exports to ONNX itself; `read_onnx` is all that is used",
}
# Runs by itself in an interpreter without edgec, so its modules name each other by place.
BY_ITSELF = "edgec.frontends.tensorflow.worker."
# Frameworks and anything slow: imported inside the function that needs them.
HEAVY = {
    "torch", "tensorflow", "onnx", "onnxruntime", "onnxscript", "ai_edge_litert", "tflite_runtime", "tflite_micro",
    "PIL", "jinja2", "rich", "sklearn", "google", "keras", "h5py",
}  # fmt: skip


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        yield ".".join(parts), ast.parse(path.read_text(encoding="utf-8"))


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        if node.level:
            return ["<relative>" + "." * node.level + (node.module or "")]
        if node.module == "edgec":
            return [f"edgec.{alias.name}" for alias in node.names]
        return [node.module or ""]
    return []


def layer(module: str) -> str:
    return module.split(".")[1]


def test_imports_point_down() -> None:
    wrong = []
    for name, tree in modules():
        for target in (t for node in ast.walk(tree) for t in imported(node)):
            if name.startswith(BY_ITSELF):
                if target.startswith(("edgec", "<relative>..")):
                    wrong.append(f"{name} imports {target}, which its interpreter need not have")
                continue
            if target.startswith("<relative>"):
                wrong.append(f"{name} has a relative import")
            if not target.startswith("edgec."):
                continue
            own, other = layer(name), layer(target)
            if own != other and other not in ALLOWED[own] and (name, other) not in EXCEPTIONS:
                wrong.append(f"{name} imports {target}: {own} may know {sorted(ALLOWED[own])}")
    assert wrong == []


def test_every_exception_is_still_needed() -> None:
    found = {
        (name, layer(t))
        for name, tree in modules()
        for node in ast.walk(tree)
        for t in imported(node)
        if t[:6] == "edgec."
    }
    assert set(EXCEPTIONS) - found == set()


def test_the_allowed_layers_have_no_circle() -> None:
    left = {name: set(below) & set(ALLOWED) for name, below in ALLOWED.items()}
    while left:
        ended = {name for name, below in left.items() if not below & set(left)}
        assert ended, f"a circle among {sorted(left)}"
        left = {name: below for name, below in left.items() if name not in ended}


def test_front_ends_do_not_know_each_other() -> None:
    def front_end(module: str) -> str | None:
        parts = module.split(".")
        return parts[2] if parts[:2] == ["edgec", "frontends"] and len(parts) > 2 else None

    wrong = [
        f"{name} imports {target}"
        for name, tree in modules()
        for node in ast.walk(tree)
        for target in imported(node)
        if front_end(name)
        and front_end(target)
        and front_end(name) != front_end(target)
        and not ((front_end(name), front_end(target)) in FRONT_END_EXCEPTIONS and target.count(".") == 2)
    ]
    assert wrong == []


def top_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Statements that run on import: not those inside functions, nor under `if TYPE_CHECKING`."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        yield node
        pending.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def test_frameworks_are_imported_where_they_are_needed() -> None:
    wrong = [
        f"{name} imports {target} at its top"
        for name, tree in modules()
        for node in top_level(tree)
        for target in imported(node)
        if target.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_importing_edgec_loads_nothing_heavy() -> None:
    code = "import sys, edgec; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    loaded = set(run.stdout.split())
    assert "edgec" in loaded
    assert loaded & (HEAVY | {"numpy", "pydantic", "typer", "flatbuffers", "click"}) == set()


def test_public_names_of_the_package_exist() -> None:
    for name in edgec.__all__:
        assert getattr(edgec, name).__name__ == name
    assert set(edgec.__all__) <= set(dir(edgec))
    with pytest.raises(AttributeError, match=r"^module 'edgec' has no attribute 'compile'$"):
        _ = edgec.compile


# -- registries --------------------------------------------------------------------------------------------------------


def test_every_op_family_is_registered() -> None:
    defining = {
        info.name
        for info in pkgutil.iter_modules(edgec.ops.__path__)
        if hasattr(importlib.import_module(f"edgec.ops.{info.name}"), "OPS")
    }
    assert defining == set(FAMILIES)


def test_every_onnx_family_is_registered() -> None:
    from edgec.frontends.onnx.families import FAMILIES as ONNX_FAMILIES

    defining = {
        name.split(".")[-1]
        for name, tree in modules()
        if name.startswith("edgec.frontends.onnx.") and name != "edgec.frontends.onnx.families"
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == "TRANSLATIONS"
    }
    assert defining == {family.__name__.split(".")[-1] for family in ONNX_FAMILIES}


# -- docstrings --------------------------------------------------------------------------------------------------------


def public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions and classes of a module, and the public methods of the latter that override nothing known."""
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from (m for m in node.body if isinstance(m, ast.FunctionDef) and ast.get_docstring(m))


def first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) -> str:
    return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ").strip()


def test_public_things_have_a_docstring_that_starts_with_a_sentence() -> None:
    wrong = []
    for name, tree in modules():
        if not ast.get_docstring(tree):
            wrong.append(f"{name}: no docstring")
        for node in public_definitions(tree):
            line = first_line(node)
            if not line.endswith((".", ":", "?")):  # a formula may stand for the words
                wrong.append(f"{name}.{node.name}: {line!r}")
    assert wrong == []


# -- what must not be there --------------------------------------------------------------------------------------------

SKIPPED = {
    ".git",
    ".venv",
    "venv",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "__pycache__",
    "build",
    "dist",
}
TEXT = {".py", ".md", ".toml", ".txt", ".html", ".json", ".cfg", ".sh", ".ini", ".yml", ".yaml", ".ir", ""}


def text_files(root: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(REPOSITORY)
        if path.is_file() and path.suffix in TEXT and not SKIPPED & set(relative.parts):
            yield relative, path.read_text(encoding="utf-8", errors="replace")


def test_nothing_is_left_to_do_in_the_code() -> None:
    marks = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")))
    assert [str(path) for path, text in text_files(PACKAGE) if marks.search(text)] == []


def test_no_package_registry_is_named() -> None:
    """Where packages come from is the user's configuration; names are in pieces so that this file passes."""
    hosts = [
        "pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs", "crates" + ".io", "anaconda" + ".org",
        "proxy." + "golang", "download." + "pytorch", "--index" + "-url", "--extra-index" + "-url",
    ]  # fmt: skip
    found = [f"{path}: {host}" for path, text in text_files(REPOSITORY) for host in hosts if host in text]
    assert found == []
