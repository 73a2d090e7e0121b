"""velcodec works where calls of POSIX are missing, as far as Linux can show that.

A new process takes the modules and calls away that Windows lacks; other libraries are imported
before, as theirs is a build of its own there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

TAKE_AWAY = """
import concurrent.futures.process, logging, os, random, subprocess, sys, tempfile
import h5py, numba, platformdirs, torch

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

MODULES = "fcntl", "grp", "pwd", "resource", "termios"
for name in MODULES:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
for name in "O_DIRECTORY", "O_NOFOLLOW", "pread", "pwrite", "register_at_fork", "sched_getaffinity":
    delattr(os, name)
"""

IMPORT_ALL = """
import importlib, pkgutil, velcodec
for module in pkgutil.walk_packages(velcodec.__path__, "velcodec."):
    if not module.name.endswith((".__main__", ".triton_kernel")):
        importlib.import_module(module.name)
"""

THERE_AND_BACK = """
import numpy as np, velcodec
from velcodec.formats.storage.file_locks import CAN_LOCK

assert not CAN_LOCK
models = np.full((2, 24, 20), 2000, np.float32)
models[:, 9:] = 3300.25
np.save("models.npy", models)
velcodec.compress_files("models.npy", "models.vlat", lossless=True)
with velcodec.append("models.vlat", lossless=True) as archive:
    archive.add(models)
assert (velcodec.decompress("models.vlat") == np.concatenate([models, models])).all()
with velcodec.open("models.vlat") as archive:
    velcodec.decompress_file(archive, "models.h5")
    velcodec.decompress_file(archive, "again.npy")
assert (np.load("again.npy") == np.concatenate([models, models])).all()
"""


def works(code: str, folder: Path) -> None:
    """Run `code` in a new process in `folder`."""
    words = [sys.executable, "-c", code]
    paths = {"PYTHONPATH": str(ROOT)}  # this checkout, whichever is installed
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=folder, env=os.environ | paths, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_module_is_imported_without_modules_of_posix(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    works(TAKE_AWAY + IMPORT_ALL, tmp_path)


def test_models_go_in_and_out_without_calls_of_posix(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    works(TAKE_AWAY + THERE_AND_BACK, tmp_path)
