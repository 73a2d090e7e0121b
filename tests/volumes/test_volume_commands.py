"""Volumes on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from volumes import folded_volume, smooth_volume

import velcodec
from velcodec.cli.main import main
from velcodec.formats.errors import (
    InputShapeError,
    MixedShapesError,
    OptionError,
    PointsOutsideError,
    VerificationError,
    VolumeError,
)

VOLUME = folded_volume()


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder with a volume and its archive."""
    monkeypatch.chdir(tmp_path)
    np.save("in.npy", VOLUME)
    done("compress", "in.npy", "out.vlat", "--volume", "--dy", "25", "--lossless")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refused(kind: type[velcodec.VelcodecError], *arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == kind.exit_code, result.output
    return result.output


def test_a_volume_goes_in_and_comes_back() -> None:
    done("decompress", "out.vlat", "back.npy")
    assert Path("back.npy").read_bytes() == Path("in.npy").read_bytes()
    assert "1 model, every checksum holds" in done("verify", "out.vlat")
    figures = json.loads(done("verify", "out.vlat", "--against", "in.npy", "--json"))
    assert figures["max_error_m_s"] == 0
    assert figures["source_sha256_matches"] is True


def test_a_mixed_archive_is_verified_against_both_files() -> None:
    sections = np.ascontiguousarray(VOLUME[:3])
    np.save("sections.npy", sections)
    done("compress", "sections.npy", "mixed.vlat", "--lossless")
    done("append", "in.npy", "mixed.vlat", "--volume", "--lossless")
    files = ("--against", "sections.npy", "--against", "in.npy")
    figures = json.loads(done("verify", "mixed.vlat", *files, "--json"))
    assert figures["models"] == 4
    assert figures["max_error_m_s"] == 0
    swapped = ("--against", "in.npy", "--against", "sections.npy")
    refused(InputShapeError, "verify", "mixed.vlat", *swapped)
    sections[2, 4, 4] += 100
    np.save("sections.npy", sections)
    assert "model 2: found a greatest error of 100 m/s" in refused(
        VerificationError, "verify", "mixed.vlat", *files
    )


def test_sections_after_volumes_and_their_absent_samples_are_verified_too() -> None:
    holes = np.array(VOLUME[:2])
    holes[:, :3] = np.nan
    np.save("holes.npy", holes)
    done("append", "holes.npy", "out.vlat", "--mask", "nan", "--lossless")
    files = ("--against", "in.npy", "--against", "holes.npy")
    assert json.loads(done("verify", "out.vlat", *files, "--json"))["max_error_m_s"] == 0


def test_info_and_ls_show_all_three_sizes() -> None:
    text = done("info", "out.vlat")
    assert "20 x 25 x 30 (depth x y x x)" in text
    assert "dx 10 m, dz 10 m, dy 25 m" in text
    assert "20 x 25 x 30" in done("ls", "out.vlat")
    (row,) = json.loads(done("ls", "out.vlat", "--json"))["rows"]
    assert (row["nz"], row["ny"], row["nx"]) == (20, 25, 30)


def test_a_box_is_taken_by_samples_or_by_metres() -> None:
    done("decompress", "out.vlat", "part.npy", "--box", "3:9,:,0m:95m")
    assert np.array_equal(np.load("part.npy"), VOLUME[3:9, :, :10])
    done("decompress", "out.vlat", "part.npy", "--box", "3:9,:,0m:90m", "--force")
    assert np.load("part.npy").shape[-1] == 10  # both ends in metres are included
    done("decompress", "out.vlat", "part.npy", "--box", ":,50m:,5:", "--force")
    assert np.array_equal(np.load("part.npy"), VOLUME[:, 2:, 5:])
    assert "box" in refused(OptionError, "decompress", "out.vlat", "x.npy", "--box", "3:3,:,:")
    for wrong in ("1:2", "1:2,3:4,5m:6", "a:b,:,:", "1.5:2,:,:"):
        assert run("decompress", "out.vlat", "x.npy", "--box", wrong).exit_code == 2


def test_a_size_may_be_said_in_bits_per_sample() -> None:
    whole = Path("out.vlat").stat().st_size
    bits = 8 * (whole - 60) / VOLUME.size
    done("compress", "in.npy", "small.vlat", "--volume", "--bits-per-sample", bits)
    assert Path("small.vlat").stat().st_size <= whole - 60
    np.save("section.npy", VOLUME[0])
    both = run("compress", "in.npy", "x.vlat", "--volume", "--bits-per-sample", 1,
               "--bytes-per-model", 5)  # fmt: skip
    assert both.exit_code == 2


def test_sections_are_arrays_or_pictures() -> None:
    done("slice", "out.vlat", "y.npy", "--y", "7")
    assert np.array_equal(np.load("y.npy"), VOLUME[:, 7])
    done("slice", "out.vlat", "z.npy", "--z", "52m")
    assert np.array_equal(np.load("z.npy"), VOLUME[5])
    done("slice", "out.vlat", "x.png", "--x", "3")
    assert Path("x.png").read_bytes().startswith(b"\x89PNG")
    done("slice", "out.vlat", "fine.npy", "--y", "7", "--res", "40x30")
    assert np.load("fine.npy").shape == (40, 30)
    done("slice", "out.vlat", "mean.npy", "--z", "3", "--average", "cell")
    assert np.load("mean.npy").shape == (25, 30)
    done("slice", "out.vlat", "fine.svg", "--y", "7", "--res", "40")
    assert "out.vlat, y = 175 m" in Path("fine.svg").read_text()
    refused(PointsOutsideError, "slice", "out.vlat", "far.npy", "--y", "9000m")
    refused(OptionError, "slice", "out.vlat", "far.npy", "--y", "25")
    refused(OptionError, "slice", "out.vlat", "far.tif", "--y", "2")
    assert run("slice", "out.vlat", "two.npy", "--y", "1", "--x", "1").exit_code == 2
    assert not list(Path().glob("far.*"))


def test_a_volume_is_rendered_at_other_grids() -> None:
    done("decompress", "out.vlat", "fine.npy", "--res", "60x75x90")
    assert np.array_equal(np.load("fine.npy")[1::3, 1::3, 1::3], VOLUME)
    done("decompress", "out.vlat", "cube.npy", "--res", "30")
    assert np.load("cube.npy").shape == (30, 30, 30)
    done("decompress", "out.vlat", "part.nc", "--res", "8x8x8", "--box", "0:4,0:4,0:4")
    done("decompress", "out.vlat", "mean.npy", "--res", "10x5x10", "--average", "cell")
    assert np.load("mean.npy").mean() == pytest.approx(VOLUME.mean(), rel=0.01)
    done("decompress", "out.vlat", "own.npy", "--average", "slowness")
    assert np.load("own.npy").shape == VOLUME.shape
    assert run("decompress", "out.vlat", "-", "--res", "8x8x8").exit_code == 2
    refused(OptionError, "decompress", "out.vlat", "x.npy", "--res", "40x40")


def test_what_volumes_lack_is_refused_by_name() -> None:
    assert "volume" in refused(OptionError, "preview", "out.vlat", "x.npy", "--bytes", "20")
    np.save("section.npy", VOLUME[0])
    assert "dy" in refused(OptionError, "compress", "section.npy", "x.vlat", "--dy", "20")
    assert not Path("x.npy").exists()


def test_evaluate_measures_volumes() -> None:
    volume = smooth_volume()
    np.save("deep.npy", volume.transpose(1, 2, 0))
    how = ["--volume", "--order", "yxz", "--max-error", "20"]
    (found,) = json.loads(done("evaluate", "deep.npy", *how, "--json"))["files"]
    done("compress", "deep.npy", "deep.vlat", *how)
    size = Path("deep.vlat").stat().st_size
    assert found["bytes"] == size
    assert found["bits_per_sample"] == pytest.approx(8 * size / volume.size)
    assert found["ssim"] is None
    error = np.abs(velcodec.decompress("deep.vlat").transpose(2, 0, 1) - volume)
    assert found["max_error_m_s"] == error.max() <= 20
    assert found["mae_m_s"] == pytest.approx(error.mean())
    assert found["psnr_db"] == pytest.approx(10 * np.log10(9e6 / np.square(error).mean()))
    text = done("evaluate", "in.npy", "--volume", "--lossless")
    assert "bits/sample" in text
    assert "SSIM" not in text
    assert "bits/sample" in done("verify", "out.vlat", "--against", "in.npy")


def test_evaluate_takes_archives_and_files_that_name_their_axes() -> None:
    done("decompress", "out.vlat", "in.nc")
    sources = ("out.vlat", "in.nc", "in.npy")
    found = [
        json.loads(done("evaluate", source, *how, "--lossless", "--json"))["files"][0]
        for source, how in zip(sources, ((), (), ("--volume", "--dy", "25")), strict=True)
    ]
    assert all(each["max_error_m_s"] == 0 for each in found)
    assert abs(found[0]["bytes"] - found[2]["bytes"]) < 100
    bits = json.loads(done("evaluate", "in.npy", "--volume", "--bits-per-sample", 8, "--json"))
    assert bits["total"]["bits_per_sample"] <= 8


def test_a_rendering_is_written_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    from velcodec.decode.volume_field import VolumeField

    monkeypatch.setattr("velcodec.encode.volume_coder.BRICK", (8, 8, 8))
    done("compress", "in.npy", "bricks.vlat", "--volume", "--lossless")
    rendered: list[int] = []
    render = VolumeField.render

    def counted(self: VolumeField, *arguments: Any) -> Any:
        found = render(self, *arguments)
        rendered.append(found.size)
        return found

    monkeypatch.setattr(VolumeField, "render", counted)
    done("decompress", "bricks.vlat", "fine.npy", "--res", "40x25x60")
    done("decompress", "bricks.vlat", "mean.nc", "--average", "cell")
    assert max(rendered) < 0.5 * sum(rendered[:3])
    with velcodec.open("bricks.vlat") as archive:
        whole = archive.decode(0, res=(40, 25, 60))
        assert np.allclose(np.load("fine.npy"), whole, atol=1e-2)
        mean = done("evaluate", "mean.nc", "--lossless", "--json")
        assert json.loads(mean)["total"]["max_error_m_s"] == 0


def test_the_output_says_whether_it_wrote_models_or_volumes() -> None:
    assert "1 volume of 20 x 25 x 30 in" in done("compress", "in.npy", "v.vlat", "--volume",
                                                 "--lossless")  # fmt: skip
    assert "20 models of 25 x 30 in" in done("compress", "in.npy", "m.vlat", "--lossless")
    assert "tiles" not in done("info", "v.vlat")
    assert "volumes say --volume" in refused(OptionError, "compress", "in.npy", "x.vlat",
                                             "--order", "yxz")  # fmt: skip


def test_a_mask_that_no_sample_has_is_told() -> None:
    for value, told in (("-999", True), (str(VOLUME.max()), False)):
        result = run("compress", "in.npy", "m.vlat", "--lossless", "--mask", value, "--force")
        assert result.exit_code == 0, result.output
        assert ("no sample has this value" in result.stderr) is told


def test_archives_of_sections_and_volumes_do_not_go_into_one_file() -> None:
    done("compress", "in.npy", "both.vlat", "--lossless")
    done("append", "in.npy", "both.vlat", "--volume", "--lossless")
    for target in ("folder/", "x.npy"):
        assert "sections and volumes do not stack" in refused(
            MixedShapesError, "decompress", "both.vlat", target
        )
    done("decompress", "both.vlat", "back.npy", "--models", "20")
    assert np.array_equal(np.load("back.npy"), VOLUME)


def test_sections_are_no_volumes() -> None:
    np.save("section.npy", VOLUME[0])
    done("compress", "section.npy", "section.vlat", "--lossless")
    refused(VolumeError, "slice", "section.vlat", "x.npy", "--z", "0")
    refused(VolumeError, "decompress", "section.vlat", "x.npy", "--box", ":,:,:")
    refused(OptionError, "decompress", "section.vlat", "x.npy", "--res", "8x8x8")


def test_archives_of_volumes_are_joined_split_and_repaired() -> None:
    done("append", "in.npy", "out.vlat", "--volume", "--max-error", "20")
    done("cat", "out.vlat", "out.vlat", "four.vlat")
    done("split", "four.vlat", "shards", "--models-per-shard", "3")
    with velcodec.open("shards") as archive:
        assert len(archive) == 4
        assert np.array_equal(archive.section(2, y=3), VOLUME[:, 3])
    data = bytearray(Path("four.vlat").read_bytes())
    with velcodec.open("four.vlat") as archive:
        at = data.index(archive.reader.payload(1))
    data[at + 30] ^= 1
    Path("bad.vlat").write_bytes(data)
    assert run("repair", "bad.vlat", "good.vlat").exit_code == 4
    with velcodec.open("good.vlat") as archive:
        assert len(archive) == 3
        assert all(np.abs(volume - VOLUME).max() <= 20 for volume in archive)
