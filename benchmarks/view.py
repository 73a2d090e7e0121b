"""How soon `velcodec view` shows something, and how smoothly it zooms, in a real browser.

`python -m benchmarks.view [--models N] [--json] [--pictures FOLDER]`. Needs playwright and
Chromium (VELCODEC_BROWSER, or `chromium`). The archive repeats generated models, compressed for
35 dB, up to N of them with keys and fields. Times are seconds on the wall, the browser and the
server sharing the machine:

- start: from the command to its address
- thumbnails: from opening the page to the first row of thumbnails, the browser being warm
- frames/s: new windows drawn a second while the wheel turns for three seconds over a drawing of
  about 600 x 600 pixels, each computed anew; for a model stored as a latent and one as samples.
  A machine with other work draws fewer pixels while the wheel turns, rather than fewer frames
- server: processor milliseconds of a whole window of 600 x 600, the least of several
- page: seconds of the same window in a page on disk, by all its workers, the least of three

With --pictures, only the screenshots of docs/view.md are made.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import velcodec
from benchmarks.shared import seconds
from velcodec import synth
from velcodec.archive.listing import rows_of
from velcodec.formats.container.writer import VlatWriter
from velcodec.view.export import write_page
from velcodec.view.model import ViewedModel, Window

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
FAMILIES = ("flatvel_a", "curvevel_a", "curvefault_a", "style_a")
SEED = 70_000_019
VIEWPORT = {"width": 1130, "height": 780}
"""Leaves a drawing of about 600 x 600."""

SHOTS = (
    ("gallery", {"width": 1100, "height": 640}, "light", "#scale=shared"),
    ("model", {"width": 1280, "height": 720}, "light",
     "#model=7&with=original&difference=1&tool=well&contours=1"),
    ("zoom", {"width": 1280, "height": 720}, "dark",
     "#model=7&with=bicubic&difference=1&dots=1&x=110&z=283&mpp=0.25"),
)  # fmt: skip
VOLUME_SHOT = {"width": 1280, "height": 720}, "#model=0&point=1150,1125,660"
BATCH = 1000
SECONDS = 3.0


def make(path: Path, models: int) -> tuple[int, int]:
    """Write the archive; gives a model stored as a latent and one stored as samples."""
    drawn = [synth.draw(family, SEED, 0, 4).render(70, 70).numpy() for family in FAMILIES]
    with velcodec.open(velcodec.compress(np.concatenate(drawn), psnr=35.0)) as archive:
        stored = [row.stored for row in rows_of(archive, range(len(archive)))]
        reader, random = archive.reader, np.random.default_rng(0)
        payloads, quality = [reader.payload(i) for i in range(len(archive))], archive.quality
        assert quality is not None
        with path.open("wb") as stream:
            writer = VlatWriter(stream, archive.header)
            for first in range(0, models, BATCH):
                rows = np.arange(first, min(first + BATCH, models)) % len(payloads)
                writer.add_many(
                    [payloads[row] for row in rows],
                    [f"line{first + i:07d}" for i in range(len(rows))],
                    [quality[row] for row in rows],
                    {
                        "family": [FAMILIES[row // 4] for row in rows],
                        "depth_m": random.normal(1000.0, 100.0, len(rows)),
                    },
                )
            writer.close()
    return stored.index("latent"), stored.index("samples")


def first_row(browser: Any, address: str) -> float:
    """Seconds to the first row of thumbnails."""
    page = browser.new_page(viewport=VIEWPORT)
    started = time.perf_counter()
    page.goto(address, wait_until="commit")
    while page.evaluate("document.querySelectorAll('.card[aria-label]').length") < 5:
        time.sleep(0.01)
    found = time.perf_counter() - started
    page.close()
    return found


def zooming(browser: Any, address: str, model: int) -> tuple[float, str]:
    """Frames a second while zooming in and out, and the pixels of one."""
    page = browser.new_page(viewport=VIEWPORT)
    page.goto(f"{address}#model={model}")
    canvas = page.locator("canvas[data-pane=a]")
    canvas.wait_for()
    page.wait_for_timeout(1500)
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.45 * box["width"], box["y"] + 0.5 * box["height"])
    frames = [int(canvas.get_attribute("data-frames"))]
    started, turn = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        page.mouse.wheel(0, -60 if turn // 40 % 2 == 0 else 60)
        turn += 1
        time.sleep(0.015)
    passed = time.perf_counter() - started
    frames.append(int(canvas.get_attribute("data-frames")))
    pixels = str(canvas.get_attribute("data-pixels"))
    page.close()
    return (frames[1] - frames[0]) / passed, pixels


def window_ms(path: Path, model: int) -> float:
    """Processor milliseconds of one window of 600 x 600 pixels."""
    with velcodec.open(path) as archive:
        viewed = ViewedModel(archive, model)
        window = Window(10.0, 60.0, 5.0, 55.0, 600, 600)
        return 1e3 * seconds(lambda: viewed.render("field", window))


def page_s(browser: Any, archive: Path, models: tuple[int, int], folder: Path) -> list[float]:
    """Seconds of a window of 600 x 600 pixels of each model in a page on disk."""
    with velcodec.open(archive) as opened:
        write_page(opened, models, archive.name, folder / "page.html")
    page = browser.new_page(viewport=VIEWPORT)
    page.goto((folder / "page.html").as_uri())
    page.locator(".card[aria-label]").nth(1).wait_for()
    found: list[float] = page.evaluate(
        """async () => {
             const window = { z0: 10, z1: 60, x0: 5, x1: 55, nz: 600, nx: 600 }, least = [];
             for (const model of [0, 1]) {
               const taken = [];
               for (let run = 0; run < 4; run++) {
                 const started = performance.now();
                 await velcodec.field(0, model, "field", window);
                 taken.push((performance.now() - started) / 1000);
               }
               least.push(Math.min(...taken.slice(1)));
             }
             return least;
           }"""
    )
    page.close()
    return found


def pictures(folder: Path) -> None:
    """Screenshots of the gallery, of a model beside its original, and of a volume."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        path = Path(place) / "models.vlat"
        drawn = [synth.draw(family, SEED, 0, 6).render(70, 70).numpy() for family in FAMILIES]
        models = np.concatenate(drawn)
        np.save(path.with_suffix(".npy"), models)
        fields = {"family": [family for family in FAMILIES for _ in range(6)]}
        keys = [f"{family}-{i % 6}" for i, family in enumerate(fields["family"])]
        path.write_bytes(velcodec.compress(models, psnr=35.0, keys=keys, fields=fields))
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)

        def shoot(name: str, address: str, size: dict[str, int], scheme: str) -> None:
            page = browser.new_page(viewport=size, color_scheme=scheme)
            page.goto(address)
            page.wait_for_timeout(4000)
            page.screenshot(path=folder / f"view-{name}.png")

        with serving(path, "--against", path.with_suffix(".npy")) as address:
            for name, size, scheme, fragment in SHOTS:
                shoot(name, address + fragment, size, scheme)
        volume = synth.draw_volumes("salt", 4, 1, 1).render(96, 96, 96)[0].numpy()
        path.write_bytes(velcodec.compress(volume, volume=True, dx=25, dy=25, dz=15, max_error=5.0))
        with serving(path) as address:
            size, fragment = VOLUME_SHOT
            shoot("volume", address + fragment, size, "light")
        browser.close()


@contextmanager
def serving(*arguments: object) -> Iterator[str]:
    """`velcodec view` of these arguments; gives the address."""
    command = [sys.executable, "-m", "velcodec", "view", "--no-browser", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[0]
        server.terminate()


def chromium() -> str | None:
    """Path of the browser."""
    return os.environ.get("VELCODEC_BROWSER") or shutil.which("chromium")


def measure(models: int) -> dict[str, Any]:
    """All figures."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "many.vlat"
        latent, samples = make(path, models)
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        browser.new_page().close()
        started = time.perf_counter()
        with serving(path) as address:
            begun = time.perf_counter() - started
            keep = browser.new_page()
            cold = first_row(browser, address)
            keep.goto(address)
            warm = min(first_row(browser, address) for _ in range(3))
            of_latent, pixels = zooming(browser, address, latent)
            of_samples, _ = zooming(browser, address, samples)
            in_page = page_s(browser, path, (latent, samples), Path(folder))
            browser.close()
        work = window_ms(path, latent), window_ms(path, samples)
    return {
        "models": models,
        "start_s": begun,
        "first_thumbnails_s": cold,
        "thumbnails_again_s": warm,
        "pixels": pixels,
        "latent_frames_per_s": of_latent,
        "samples_frames_per_s": of_samples,
        "latent_server_ms": work[0],
        "samples_server_ms": work[1],
        "latent_page_s": in_page[0],
        "samples_page_s": in_page[1],
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.pictures is not None:
        pictures(options.pictures)
        return
    found = measure(options.models)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:22} {value if isinstance(value, int | str) else f'{value:.2f}'}")


if __name__ == "__main__":
    main()
