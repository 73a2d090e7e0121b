"""The formats stand alone: no torch, and nothing of the layers above."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import velcodec.formats

MODULES = sorted(m.name for m in pkgutil.iter_modules(velcodec.formats.__path__))
ABOVE = ("codec", "decoder", "fit", "quantise", "cli", "api", "archive", "stored", "tiling")


def test_no_module_of_the_formats_imports_torch_or_what_is_above() -> None:
    assert {"vlat", "npy", "decoder_file", "tile_stream"} <= set(MODULES)
    code = "".join(f"import velcodec.formats.{name}\n" for name in MODULES)
    code += "import sys\nprint(*sorted(sys.modules))\n"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "velcodec.formats.reader" in loaded
    assert not {name for name in loaded if name.split(".")[0] in ("torch", "click", "skimage")}
    assert not loaded & {f"velcodec.{name}" for name in ABOVE}
