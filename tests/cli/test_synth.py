"""`velcodec synth` writes models reproducibly, in m/s, with a picture on request."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from latent_archives import latent_archive

import velcodec
from velcodec import synth
from velcodec.decoder import Decoder
from velcodec.formats.container.header import Layout
from velcodec.formats.errors import MissingExtraError

Run = Callable[..., Result]

FAMILY = "curvefault_b"


@pytest.fixture
def generate(run: Run) -> Callable[..., np.ndarray]:
    """Run `velcodec synth` to a file that is replaced, and load it."""

    def write(*arguments: object) -> np.ndarray:
        result = run("synth", FAMILY, "out.npy", "--device", "cpu", "--force", *arguments)
        assert result.exit_code == 0, result.stderr
        return np.load("out.npy")

    return write


def assert_same(a: np.ndarray, b: np.ndarray) -> None:
    """Equal up to float rounding."""
    assert a.shape == b.shape
    assert (np.abs(a - b) > 0.05).mean() < 1e-4


def test_a_name_of_another_format_is_refused(run: Run) -> None:
    result = run("synth", FAMILY, "out.npz", "--device", "cpu")
    assert result.exit_code == 2
    assert "found the suffix .npz, expected .npy" in result.stderr
    assert not Path("out.npz").exists()


def test_the_file_has_openfwis_layout(generate: Callable[..., np.ndarray]) -> None:
    models = generate("--count", 5, "--seed", 3)
    assert models.shape == (5, 1, 70, 70)
    assert models.dtype == np.float32
    assert 1500.0 <= models.min() < models.max() <= 4500.0
    assert_same(models[:, 0], synth.draw(FAMILY, 3, 0, 5).render(70, 70).numpy())


def test_writing_in_blocks_gives_the_same_models(
    generate: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generate("--count", 5, "--res", "30")
    monkeypatch.setattr("velcodec.cli.synth.SAMPLES_AT_ONCE", 2 * 30 * 30)
    assert_same(generate("--count", 5, "--res", "30"), whole)


def test_a_later_start_continues_the_same_models(generate: Callable[..., np.ndarray]) -> None:
    whole = generate("--count", 6, "--res", "30")
    assert_same(generate("--count", 2, "--start", 3, "--res", "30"), whole[3:5])


def test_another_resolution_shows_the_same_geology(generate: Callable[..., np.ndarray]) -> None:
    coarse = generate("--count", 2, "--res", "20x30")
    fine = generate("--count", 2, "--res", "60x90")
    assert fine.shape == (2, 1, 60, 90)
    # Odd factors put every coarse sample on a fine one.
    np.testing.assert_allclose(fine[..., 1::3, 1::3], coarse, atol=0.5)


def test_one_volume_is_written_where_no_number_is_said(run: Run) -> None:
    assert run("synth", "faulted", "v.npy", "--res", "6x5x4").exit_code == 0
    assert np.load("v.npy").shape == (1, 6, 5, 4)
    assert run("synth", "flatvel_a", "m.npy", "--res", "6x5").exit_code == 0
    assert np.load("m.npy").shape == (100, 1, 6, 5)


def test_volumes_have_three_axes(run: Run) -> None:
    result = run("synth", "faulted", "v.npy", "--count", 2, "--seed", 3, "--res", "12x8x10")
    assert result.exit_code == 0, result.stderr
    assert np.array_equal(np.load("v.npy"), synth.volumes("faulted", 2, 3, (12, 8, 10)))
    result = run("synth", "salt", "cube.npy", "--count", 1, "--res", "9", "--picture", "p.png")
    assert result.exit_code == 0, result.stderr
    assert np.load("cube.npy").shape == (1, 9, 9, 9)
    assert Path("p.png").stat().st_size > 0


def test_a_grid_of_other_dimensions_than_the_family_is_refused(run: Run) -> None:
    result = run("synth", "faulted", "v.npy", "--res", "12x10")
    assert result.exit_code == 2
    assert "found 12x10, expected N or NZxNYxNX" in result.stderr
    result = run("synth", FAMILY, "v.npy", "--res", "12x8x10")
    assert result.exit_code == 2
    assert "found 12x8x10, expected N or NZxNX" in result.stderr


def test_the_figures_match_the_file(run: Run) -> None:
    result = run("synth", "style_a", "out.npy", "--count", 2, "--start", 7, "--json")
    found = json.loads(result.stdout)
    assert found["shape"] == [2, 1, 70, 70]
    assert (found["family"], found["seed"], found["start"]) == ("style_a", 0, 7)
    assert found["picture"] is None


def test_the_picture_shows_the_first_models(run: Run) -> None:
    result = run("synth", "geology", "out.npy", "--count", 7, "--picture", "out.png")
    assert result.exit_code == 0, result.stderr
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
    assert len(np.load("out.npy")) == 7


def test_a_picture_without_matplotlib_names_the_missing_extra(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("synth", "geology", "out.npy", "--count", 1, "--picture", "out.png")
    assert result.exit_code == MissingExtraError.exit_code
    assert "velcodec[plot]" in result.stderr
    assert not Path("out.npy").exists()


def test_every_family_is_listed_with_its_summary(run: Run) -> None:
    shown = run("synth", "--list").stdout
    assert [line.split()[0] for line in shown.splitlines()] == [
        *synth.FAMILIES,
        *synth.VOLUME_FAMILIES,
    ]
    found = json.loads(run("synth", "--list", "--json").stdout)
    assert found == {"families": synth.SUMMARIES, "volumes": synth.VOLUME_SUMMARIES}
    assert tuple(synth.SUMMARIES) == synth.FAMILIES
    assert tuple(synth.VOLUME_SUMMARIES) == synth.VOLUME_FAMILIES


def test_an_unknown_family_is_refused_listing_all(run: Run) -> None:
    result = run("synth", "marmousi", "out.npy")
    assert result.exit_code == 2
    assert "'marmousi'" in result.stderr
    assert all(family in result.stderr for family in synth.FAMILIES)
    assert not Path("out.npy").exists()


@pytest.mark.parametrize("arguments", [(), ("geology",)], ids=len)
def test_a_missing_argument_is_named(run: Run, arguments: tuple[str, ...]) -> None:
    result = run("synth", *arguments)
    assert result.exit_code == 2
    assert ("FAMILY", "OUT.NPY")[len(arguments)] in result.stderr


@pytest.mark.parametrize("taken", ["out.npy", "out.png"])
def test_nothing_is_replaced_without_force(run: Run, taken: str) -> None:
    Path(taken).write_text("mine")
    result = run("synth", "geology", "out.npy", "--count", 1, "--picture", "out.png")
    assert result.exit_code == 60
    assert Path(taken).read_text() == "mine"
    assert [path.name for path in Path.cwd().iterdir()] == [taken]


def test_a_picture_with_the_name_of_the_output_is_refused(run: Run) -> None:
    result = run("synth", "geology", "out.npy", "--picture", "./out.npy", "--force")
    assert result.exit_code == 2
    assert not Path("out.npy").exists()


def test_an_excessive_size_needs_confirmation(run: Run) -> None:
    result = run("synth", "geology", "out.npy", "--count", 10**9)
    assert result.exit_code == 40
    assert "--allow-large" in result.stderr
    assert not Path("out.npy").exists()


def test_models_are_drawn_from_a_decoders_prior(run: Run) -> None:
    arguments = ("--from-decoder", "tiny", "--res", "20x24", "--range", "1800,3000")
    result = run("synth", "out.npy", "--count", 4, *arguments)
    assert result.exit_code == 0, result.stderr
    drawn = np.load("out.npy")
    assert drawn.shape == (4, 1, 20, 24)
    assert 1800 <= drawn.min() < drawn.max() <= 3000
    assert np.abs(drawn[0] - drawn[1]).mean() > 10
    result = run("synth", "later.npy", "--count", 2, "--start", 2, *arguments)
    assert result.exit_code == 0, result.stderr
    np.testing.assert_allclose(np.load("later.npy"), drawn[2:], atol=0.01)


def test_models_are_drawn_near_those_of_a_file_each_in_turn(run: Run, models: np.ndarray) -> None:
    np.save("in.npy", models[:2])

    def drawn(spread: float) -> np.ndarray:
        arguments = ("--near", "in.npy", "--from-decoder", "tiny", "--spread", spread)
        result = run("synth", "out.npy", "--count", 4, "--force", *arguments)
        assert result.exit_code == 0, result.stderr
        return np.load("out.npy")[:, 0]

    same, near, far = (drawn(spread) for spread in (0.0, 0.05, 0.5))
    assert same.shape == (4, 20, 24)
    np.testing.assert_allclose(same[:2], same[2:], atol=0.01)
    assert np.abs(same[0] - models[0]).mean() < 0.5 * models[0].std()
    assert np.abs(near - same).mean() < np.abs(far - same).mean() / 3
    assert not np.allclose(near[0], near[2])


def test_models_are_drawn_near_those_of_an_archive(run: Run, tiny: Decoder) -> None:
    Path("in.vlat").write_bytes(latent_archive(tiny, Layout(20, 24), models=2))
    result = run("synth", "out.npy", "--near", "in.vlat", "--spread", 0, "--count", 3)
    assert result.exit_code == 0, result.stderr
    drawn = np.load("out.npy")[:, 0]
    with velcodec.open("in.vlat") as archive:
        assert np.abs(drawn[0] - archive[0]).max() < 10
    np.testing.assert_allclose(drawn[2], drawn[0], atol=0.01)
    result = run("synth", "out.npy", "--near", "in.vlat", "--from-decoder", "tiny", "--force")
    assert result.exit_code == 2
    assert "has its own" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("geology", "out.npy", "--from-decoder", "tiny"), "OUT.NPY alone"),
        (("--from-decoder", "tiny"), "Missing argument 'OUT.NPY'"),
        (("out.npy", "--from-decoder", "tiny", "--range", "3000,2000"), "rising order"),
        (("out.npy", "--near", "in.npy", "--range", "2000,3000"), "--range: expected"),
        (("geology", "out.npy", "--range", "2000,3000"), "--range: expected"),
    ],
    ids=["family too", "no output", "falling range", "range near models", "range of a family"],
)
def test_a_draw_that_makes_no_sense_is_refused(
    run: Run, arguments: tuple[str, ...], said: str
) -> None:
    result = run("synth", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_missing_models_and_decoders_are_named(run: Run) -> None:
    result = run("synth", "out.npy", "--near", "none.npy")
    assert result.exit_code != 0
    assert "none.npy" in result.stderr
    result = run("synth", "out.npy", "--from-decoder", "nobody")
    assert result.exit_code == 30
    assert "nobody" in result.stderr
