"""SEG-Y files: traces across, samples down, and the ground from their headers."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segyio
from round_trips import all_of, asymmetric, check_round_trip, written

from velcodec.formats import errors
from velcodec.formats.files import Ground, open_models

FIELD = segyio.TraceField


def saved(
    path: Path, *, format: int = 5, interval: int = 0, feet: bool = False, **traces: Any
) -> Path:
    spec = segyio.spec()
    spec.format, spec.samples, spec.tracecount = format, range(5), 7
    with segyio.create(str(path), spec) as out:
        out.bin[segyio.BinField.Interval] = interval
        out.bin[segyio.BinField.MeasurementSystem] = 2 if feet else 1
        for number in range(7):
            fields = {getattr(FIELD, name): values for name, values in traces.items()}
            out.header[number] = {
                field: int(values[number]) if np.ndim(values) else values
                for field, values in fields.items()
            }
            out.trace[number] = asymmetric(1)[0, :, number].astype(out.dtype)
    return path


@pytest.mark.parametrize(
    ("format", "dtype"), [(1, "<f4"), (2, "<i4"), (3, "<i2"), (5, "<f4"), (6, "<f8"), (11, "<u2")]
)
def test_sample_formats_are_read(tmp_path: Path, format: int, dtype: str) -> None:
    found = open_models(saved(tmp_path / "in.sgy", format=format))
    assert np.array_equal(all_of(found), asymmetric(1))
    assert (found.parts[0].form.dtype, found.parts[0].form.axes) == (dtype, "xz")


def test_a_sample_format_that_is_unknown_is_refused_and_not_guessed(tmp_path: Path) -> None:
    path = saved(tmp_path / "in.sgy")
    data = bytearray(path.read_bytes())
    data[3224:3226] = (112).to_bytes(2, "big")
    path.write_bytes(data)
    with pytest.raises(errors.InputFileError, match="sample format: found 112, expected one of"):
        open_models(path)


def test_a_file_without_ground_has_none(tmp_path: Path) -> None:
    assert open_models(saved(tmp_path / "in.sgy")).parts[0].form.ground == Ground()


@pytest.mark.parametrize("name", ["CDP_X", "GroupX", "SourceX"])
@pytest.mark.parametrize(("scalar", "scale"), [(0, 1), (1, 1), (10, 10), (-100, 0.01)])
def test_coordinates_give_the_spacing_across(
    tmp_path: Path, name: str, scalar: int, scale: float
) -> None:
    traces = {name: 1000 + 25 * np.arange(7), "SourceGroupScalar": scalar}
    ground = open_models(saved(tmp_path / "in.sgy", **traces)).parts[0].form.ground
    assert ground.dx_m == pytest.approx(25 * scale)
    assert ground.origin_x_m == pytest.approx(1000 * scale)


def test_a_line_at_an_angle_has_a_spacing_and_no_origin(tmp_path: Path) -> None:
    traces = {"CDP_X": 500 + 30 * np.arange(7), "CDP_Y": 800 - 40 * np.arange(7)}
    ground = open_models(saved(tmp_path / "in.sgy", **traces)).parts[0].form.ground
    assert ground == Ground(dx_m=50.0)


@pytest.mark.parametrize(
    ("traces", "match"),
    [
        ({"CDP_X": [0, 10, 20, 40, 50, 60, 70]}, "found steps from 10 to 20 m"),
        ({"CDP_X": [0, 10, 20, 20, 30, 40, 50]}, "found steps from 0 to 10 m"),
        ({"CDP_X": 25 * np.arange(7), "CoordinateUnits": 2}, "found angles"),  # seconds of arc
    ],
)
def test_uneven_coordinates_are_refused_unless_the_spacing_is_stated(
    tmp_path: Path, traces: dict[str, Any], match: str
) -> None:
    path = saved(tmp_path / "in.sgy", **traces)
    with pytest.raises(errors.InputFileError, match=f"coordinates: {match}.*--dx"):
        open_models(path)
    stated = open_models(path, ground=Ground(dx_m=20.0))
    assert stated.parts[0].form.ground.dx_m == 20.0
    assert np.array_equal(all_of(stated), asymmetric(1))


def test_coordinates_of_a_single_point_are_ignored(tmp_path: Path) -> None:
    ground = open_models(saved(tmp_path / "in.sgy", CDP_X=7)).parts[0].form.ground
    assert ground == Ground()


@pytest.mark.parametrize("name", ["CDP_X", "GroupX", "SourceX"])
@pytest.mark.parametrize("order", [[3, 0, 6, 1, 5, 2, 4], [6, 5, 4, 3, 2, 1, 0]])
def test_traces_are_sorted_along_the_line(tmp_path: Path, name: str, order: list[int]) -> None:
    path = saved(tmp_path / "in.sgy", **{name: 100 + 25 * np.array(order)})
    found = open_models(path)
    assert found.parts[0].form.ground == Ground(dx_m=25.0, origin_x_m=100.0)
    assert np.array_equal(all_of(found)[0, :, order].T, asymmetric(1)[0])


@pytest.mark.parametrize("reach", [1, -1])
def test_traces_of_a_line_at_an_angle_are_sorted_too(tmp_path: Path, reach: int) -> None:
    order = np.array([3, 0, 6, 1, 5, 2, 4])
    path = saved(tmp_path / "in.sgy", CDP_X=500 + 30 * order, CDP_Y=800 + 40 * reach * order)
    found = open_models(path)
    assert found.parts[0].form.ground == Ground(dx_m=50.0)
    assert np.array_equal(all_of(found)[0], asymmetric(1)[0][:, np.argsort(order)])


def test_a_survey_of_several_inlines_with_missing_traces_is_refused(tmp_path: Path) -> None:
    traces = {"INLINE_3D": [1, 1, 1, 2, 2, 2, 3], "CROSSLINE_3D": [1, 2, 3, 1, 2, 3, 1]}
    path = saved(tmp_path / "in.sgy", **traces)
    with pytest.raises(errors.InputShapeError, match="7 traces at 3 inlines and 3 crosslines"):
        open_models(path)
    line = {"INLINE_3D": 5, "CROSSLINE_3D": 1 + np.arange(7)}
    assert np.array_equal(all_of(open_models(saved(tmp_path / "b.sgy", **line))), asymmetric(1))


@pytest.mark.parametrize(
    ("traces", "match"),
    [
        ({"DelayRecordingTime": [0, 0, 10, 0, 0, 0, 0]}, "trace 3: found a delay of 10 and 0"),
        ({"TRACE_SAMPLE_INTERVAL": [8, 4, 8, 8, 8, 8, 8]}, "trace 2: found a sample interval"),
    ],
)
def test_traces_of_different_delay_interval_or_length_are_refused(
    tmp_path: Path, traces: dict[str, Any], match: str
) -> None:
    with pytest.raises(errors.InputFileError, match=match):
        open_models(saved(tmp_path / "in.sgy", **traces))


def test_two_intervals_of_one_file_are_refused_unless_the_spacing_is_stated(
    tmp_path: Path,
) -> None:
    path = saved(tmp_path / "in.sgy", interval=10000, TRACE_SAMPLE_INTERVAL=5000)
    with pytest.raises(errors.InputFileError, match="found 10000 for the file and 5000"):
        open_models(path)
    assert open_models(path, ground=Ground(dz_m=5.0)).parts[0].form.ground.dz_m == 5.0


def with_text(path: Path, text: str) -> Path:
    with segyio.open(str(path), "r+", ignore_geometry=True) as out:
        out.text[0] = segyio.create_text_header({1: "A MODEL", 4: text})
    return path


def test_a_spacing_in_the_text_counts_where_the_headers_have_none(tmp_path: Path) -> None:
    path = with_text(saved(tmp_path / "in.sgy"), "DX = 25 M, DZ=0.0125 KM")
    assert open_models(path).parts[0].form.ground == Ground(25.0, 12.5)
    path = with_text(saved(tmp_path / "in.sgy"), "DX: 100 FT  DT = 4 MS")
    assert open_models(path).parts[0].form.ground.dx_m == pytest.approx(30.48)
    path = with_text(saved(tmp_path / "in.sgy"), "INDX=7 DX=4/S NDZ: 9")
    assert open_models(path).parts[0].form.ground == Ground()


@pytest.mark.parametrize(
    ("text", "option", "stated"),
    [("DX=12.5", "--dx", Ground(dx_m=12.5)), ("DZ = 5 METRES", "--dz", Ground(dz_m=5.0))],
)
def test_headers_that_differ_from_the_text_are_refused_unless_the_spacing_is_stated(
    tmp_path: Path, text: str, option: str, stated: Ground
) -> None:
    path = saved(tmp_path / "in.sgy", interval=10000, CDP_X=25 * np.arange(7))
    with_text(path, text)
    with pytest.raises(errors.InputFileError, match=f"textual header: .*state which with {option}"):
        open_models(path)
    found = open_models(path, ground=stated).parts[0].form.ground
    assert found == stated.or_else(Ground(25.0, 10.0, 0.0))
    with_text(path, "DX=25.0 DZ=10 M")
    assert open_models(path).parts[0].form.ground == Ground(25.0, 10.0, 0.0)


def test_an_interval_of_a_few_millimetres_is_refused_unless_the_spacing_is_stated(
    tmp_path: Path,
) -> None:
    path = saved(tmp_path / "in.sgy", interval=10)
    with pytest.raises(errors.InputFileError, match=r"found 10, which is 0\.01 m .*--dz"):
        open_models(path)
    assert open_models(path, ground=Ground(dz_m=10.0)).parts[0].form.ground.dz_m == 10.0


def test_an_unknown_measurement_system_is_refused_unless_the_spacing_is_stated(
    tmp_path: Path,
) -> None:
    path = saved(tmp_path / "in.sgy", interval=10000)
    with segyio.open(str(path), "r+", ignore_geometry=True) as out:
        out.bin[segyio.BinField.MeasurementSystem] = 3
    with pytest.raises(errors.InputFileError, match="measurement system: found 3, expected 1"):
        open_models(path)
    stated = Ground(dx_m=25.0, dz_m=10.0)
    assert open_models(path, ground=stated).parts[0].form.ground == stated


@pytest.mark.parametrize("endian", ["big", "little"])
def test_the_interval_of_revision_2_is_metres(tmp_path: Path, endian: str) -> None:
    path = in_order(tmp_path / "in.sgy", endian)
    data = bytearray(path.read_bytes())
    data[3272:3280] = struct.pack("<d" if endian == "little" else ">d", 12.5)
    data[3500] = 2
    path.write_bytes(data)
    assert open_models(path).parts[0].form.ground.dz_m == 12.5
    data[3272:3280] = struct.pack("<d" if endian == "little" else ">d", 12500.0)
    path.write_bytes(data)
    with pytest.raises(errors.InputFileError, match="revision 2: found 12500, expected metres"):
        open_models(path)


def in_order(path: Path, endian: str, format: int = 5) -> Path:
    """A file in this byte order."""
    spec = segyio.spec()
    spec.format, spec.samples, spec.tracecount, spec.endian = format, range(5), 7, endian
    with segyio.create(str(path), spec) as out:
        for number in range(7):
            out.header[number] = {FIELD.CDP_X: 25 * number, FIELD.SourceGroupScalar: -10}
            out.trace[number] = asymmetric(1)[0, :, number].astype(out.dtype)
    return path


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("format", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("endian", ["big", "little"])
def test_files_of_either_byte_order_are_read(
    tmp_path: Path, endian: str, format: int, constant: bool
) -> None:
    path = in_order(tmp_path / "in.sgy", endian, format)
    if constant:
        data = bytearray(path.read_bytes())
        data[3296:3300] = struct.pack("<I" if endian == "little" else ">I", 0x01020304)
        path.write_bytes(data)
    found = open_models(path)
    assert np.array_equal(all_of(found), asymmetric(1))
    assert found.parts[0].form.ground == Ground(dx_m=2.5, dz_m=1.0, origin_x_m=0.0)


def test_dead_traces_are_refused_with_their_number(tmp_path: Path) -> None:
    code = {"TraceIdentificationCode": [1, 1, 2, 1, 1, 2, 1]}
    with pytest.raises(errors.NoDataError, match="trace 3: is dead, as are 2 of 7"):
        all_of(open_models(saved(tmp_path / "in.sgy", **code)))
    path = saved(tmp_path / "zeros.sgy")
    with segyio.open(str(path), "r+", ignore_geometry=True) as out:
        out.trace[4] = np.zeros(5, dtype="f4")
    with pytest.raises(errors.NoDataError, match="trace 5: is dead, as are 1 of 7"):
        all_of(open_models(path))


def test_the_interval_is_millimetres_and_the_delay_metres(tmp_path: Path) -> None:
    path = saved(tmp_path / "in.sgy", interval=50000 - 65536, DelayRecordingTime=20)
    assert open_models(path).parts[0].form.ground == Ground(dz_m=50.0, origin_z_m=20.0)
    path = saved(tmp_path / "traces.sgy", TRACE_SAMPLE_INTERVAL=12500)
    assert open_models(path).parts[0].form.ground == Ground(dz_m=12.5)


def test_feet_become_metres(tmp_path: Path) -> None:
    path = saved(tmp_path / "in.sgy", interval=10000, feet=True, CDP_X=100 * np.arange(7))
    ground = open_models(path).parts[0].form.ground
    assert (ground.dx_m, ground.dz_m) == (pytest.approx(30.48), pytest.approx(3.048))


@pytest.mark.parametrize(
    "ground",
    [
        Ground(0.001, 0.001, 0.0, 0.5),
        Ground(33.3333, 65.535, -123456.5, -12.75),
        Ground(100_000.0, 10.0, 1e9, 30_000.0),
    ],
)
def test_spacings_and_origins_come_back(tmp_path: Path, ground: Ground) -> None:
    found = check_round_trip(tmp_path, "segy", asymmetric(1), "zx", ground=ground).ground
    for name in ("dx_m", "dz_m", "origin_x_m", "origin_z_m"):
        assert getattr(found, name) == pytest.approx(getattr(ground, name), rel=1e-6)


def test_what_does_not_fit_is_left_out(tmp_path: Path) -> None:
    ground = Ground(1e9, 100.0, 1e11, 1e6)
    found = check_round_trip(tmp_path, "segy", asymmetric(1), "zx", ground=ground).ground
    assert found == Ground()


def test_several_models_are_several_files(tmp_path: Path) -> None:
    with pytest.raises(errors.OptionError, match="one for each SEG-Y file: write a folder"):
        written(tmp_path, "segy", asymmetric(2))


def test_traces_are_positions_always(tmp_path: Path) -> None:
    path = saved(tmp_path / "in.sgy")
    assert len(open_models(path, order="xz")) == 1
    with pytest.raises(errors.OptionError, match="traces are positions"):
        open_models(path, order="zx")
