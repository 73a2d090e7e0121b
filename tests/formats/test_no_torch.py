"""The formats are independent: no torch, and nothing of the layers above."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import velcodec.formats

FORMATS = velcodec.formats.__name__
EXPECTED = ("container.reader", "files.hdf5", "sample_coding.label_map.coder")
MODULES = sorted(m.name for m in pkgutil.walk_packages(velcodec.formats.__path__, f"{FORMATS}."))


def test_no_module_of_formats_imports_torch_or_a_layer_above() -> None:
    assert {f"{FORMATS}.{name}" for name in EXPECTED} <= set(MODULES)
    code = "".join(f"import {name}\n" for name in MODULES)
    code += "import sys\nprint(*sorted(sys.modules))\n"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert set(MODULES) <= loaded
    assert not {name for name in loaded if name.split(".")[0] in ("torch", "click", "skimage")}
    ours = {name for name in loaded if name.split(".")[0] == "velcodec"}
    above = {name for name in ours if not f"{name}.".startswith(f"{FORMATS}.")}
    assert above == {"velcodec", "velcodec.version"}
