"""Nothing that velcodec reads is code: no pickle, and nothing that would run or unpickle a file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    {
        path.resolve()
        for top in ("velcodec", "formats", "cli")
        for path in (ROOT / top).rglob("*.py")
    }
)

MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
CALLS = {"eval", "exec", "compile", "__import__"}
LOADERS = {("np", "load"), ("numpy", "load"), ("format", "read_array"), ("format", "open_memmap")}
UNPICKLERS = {("torch", "load"), ("pd", "read_pickle"), ("yaml", "load"), ("np", "fromregex")}


def dotted(node: ast.expr) -> tuple[str, ...]:
    """`a.b.c` as (a, b, c); shorter where it begins with something else."""
    if isinstance(node, ast.Attribute):
        return (*dotted(node.value), node.attr)
    return (node.id,) if isinstance(node, ast.Name) else ()


def faults(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            yield from (f"imports {name}" for name in named if name.split(".")[0] in MODULES)
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if name[-2:] in LOADERS and not any(
            word.arg == "allow_pickle"
            and isinstance(word.value, ast.Constant)
            and word.value.value is False
            for word in node.keywords
        ):
            yield f"line {node.lineno}: {'.'.join(name)} without allow_pickle=False"
        if name[-2:] in UNPICKLERS or (len(name) == 1 and name[0] in CALLS):
            yield f"line {node.lineno}: {'.'.join(name)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_or_run(path: Path) -> None:
    assert list(faults(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from pickle import loads", "import torch\ntorch.load(p)", "np.load(p)",
        "np.load(p, allow_pickle=True)", "np.lib.format.read_array(s)", "eval(text)",
        "import joblib.pool", "np.load(p, allow_pickle=flag)",
    ],
)  # fmt: skip
def test_what_would_is_found(text: str) -> None:
    assert list(faults(ast.parse(text)))
