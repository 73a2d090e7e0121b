"""Compiled code is kept where that can be, never out of date, and works where nothing is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest

from velcodec.formats import compiled
from velcodec.formats.compiled import njit, sources_digest


def twice(value: float) -> float:
    return 2 * value


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Modules a and b, c in a folder; a imports b, b imports c, and others import a."""
    (tmp_path / "in").mkdir()
    sources = {
        "a.py": "from .b import (\n    one,\n    two,\n)\n",
        "b.py": "import velcodec.in.c\nimport os\n",
        "in/__init__.py": "",
        "in/c.py": "from ..b import x\n",
        "user.py": "from . import a\n",
    }
    for name, source in sources.items():
        (tmp_path / name).write_text(source)
    monkeypatch.setattr(compiled, "_ROOT", tmp_path)
    sources_digest.cache_clear()
    yield tmp_path
    sources_digest.cache_clear()


@pytest.mark.parametrize("name", ["a.py", "b.py", "in/c.py"])
def test_a_change_in_anything_that_is_imported_makes_compiled_code_anew(
    package: Path, name: str
) -> None:
    modules = ("velcodec.a", "velcodec.user")
    before = [sources_digest(module) for module in modules]
    assert [sources_digest(module) for module in modules] == before
    (package / name).write_text((package / name).read_text() + "X = 1\n")
    sources_digest.cache_clear()
    assert all(sources_digest(m) != old for m, old in zip(modules, before, strict=True))


def test_a_change_elsewhere_does_not(package: Path) -> None:
    before = sources_digest("velcodec.a")
    (package / "user.py").write_text("from . import a, b\n")
    sources_digest.cache_clear()
    assert sources_digest("velcodec.a") == before


def test_the_kernels_of_this_package_know_what_they_import() -> None:
    kernels = "velcodec.formats.sample_coding.label_map.coder"
    path = compiled._file(kernels)
    assert path is not None
    imported = compiled._imported(kernels, path.read_text())
    assert {"velcodec.formats.compiled", "velcodec.formats.entropy.symbols"} <= set(imported)


def test_no_kernel_is_compiled_past_it() -> None:
    """numba's own decorator would raise where no folder can be written."""
    top = Path(compiled.__file__).resolve().parents[1]
    sources = [*(top / "formats").rglob("*.py"), *(top / "velcodec").rglob("*.py")]
    assert len(sources) > 100
    users = [p.name for p in sources if "from numba import" in p.read_text()]
    assert users == []


@pytest.mark.parametrize("error", [RuntimeError("no locator"), PermissionError(13, "denied")])
def test_where_nothing_can_be_kept_code_is_compiled_each_time(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: object, function: object) -> None:
        raise error

    monkeypatch.setattr(compiled._Cache, "__init__", fails)
    assert njit(cache=True)(twice)(21.0) == 42.0


def test_a_folder_that_fails_later_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert njit(cache=True)(twice)(21.0) == 42.0
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(b"something else")
    assert njit(cache=True)(twice)(21.0) == 42.0
    function = njit(cache=True)(twice)
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    tmp_path.rmdir()
    tmp_path.write_bytes(b"a file now")
    assert function(np.float32(21)) == 42.0


def test_it_works_where_numba_is_switched_off() -> None:
    code = (
        "from velcodec.formats.compiled import njit\n"
        "@njit(cache=True)\n"
        "def f(x):\n    return x + 1\n"
        "print(f(1))"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert run.stdout == "2\n"
