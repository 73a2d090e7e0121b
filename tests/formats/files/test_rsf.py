"""RSF files: headers as Madagascar writes them, and no file outside the header's folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from round_trips import GROUND, all_of, asymmetric, written

from velcodec.formats import errors
from velcodec.formats.files import Form, Ground, open_models, open_sink

SAMPLES = asymmetric(4).swapaxes(1, 2)  # models, distance, depth: n1 is depth
HEADER = """4.2-git	sfmath	survey/vp:	someone@somewhere	Thu Jan  1 00:00:00 2026

	d1=0.01
	o1=0.5
	d2=0.025
	unit1="km"
	unit2='km'
	label1="Depth"
	n1=99
	esize=4
	in="./vp.rsf@"
	data_format="native_float"
sfput	survey/vp:	someone@somewhere
	n1=5 n2=7 n3=4 label="Velocity" unit="km/s" n4=1
"""


def saved(folder: Path, header: str, samples: bytes = SAMPLES.tobytes()) -> Path:
    (folder / "vp.rsf@").write_bytes(samples)
    (folder / "vp.rsf").write_text(header)
    return folder / "vp.rsf"


def test_a_header_and_the_samples_beside_it_are_read(tmp_path: Path) -> None:
    found = open_models(saved(tmp_path, HEADER))
    (part,) = found.parts
    assert np.array_equal(all_of(found), asymmetric(4))
    assert part.form == Form(4, 5, 7, "nxz", "<f4", "km/s", Ground(25.0, 10.0, None, 500.0))
    assert part.file == "vp.rsf"


def test_the_last_word_on_a_key_counts(tmp_path: Path) -> None:
    header = HEADER + "\tn3=2\n"
    found = open_models(saved(tmp_path, header, SAMPLES[:2].tobytes()))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("words", "dtype"),
    [
        ("xdr_float esize=4", ">f4"),
        ("native_double esize=8", "<f8"),
        ("native_int", "<i4"),
        ("native_short esize=2", "<i2"),
        ("xdr_short", ">i2"),
    ],
)
def test_data_formats_are_read(tmp_path: Path, words: str, dtype: str) -> None:
    header = HEADER.replace("\tesize=4\n", "") + f"\tdata_format={words}\n"
    found = open_models(saved(tmp_path, header, SAMPLES.astype(dtype).tobytes()))
    assert np.array_equal(all_of(found), asymmetric(4))
    assert found.parts[0].form.dtype == dtype


def test_labels_can_make_distance_the_fast_axis(tmp_path: Path) -> None:
    header = HEADER + '\tn1=7 n2=5 label1="Distance" label2="Depth (km)"\n'
    found = open_models(saved(tmp_path, header, asymmetric(4).tobytes()))
    assert np.array_equal(all_of(found), asymmetric(4))
    assert found.parts[0].form.ground.dx_m == 10.0  # n1 is distance now
    turned = open_models(saved(tmp_path, HEADER), order="zx").parts[0].form
    assert (turned.nz, turned.nx) == (7, 5)


@pytest.mark.parametrize(
    "place", ["{out}/secret", "../secret", "sub/../../secret", "link", "/etc/passwd", ""]
)
def test_no_file_outside_the_folder_is_opened(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(SAMPLES.tobytes())
    (folder / "link").symlink_to(tmp_path / "secret")
    header = HEADER + f'\tin="{place.format(out=tmp_path)}"\n'
    with pytest.raises(errors.InputFileError) as caught:
        open_models(saved(folder, header))
    assert "expected a file in the header's own folder" in str(caught.value)
    assert "--format raw --shape 4x7x5 --dtype '<f4' --order xz" in str(caught.value)


def test_what_the_refusal_advises_works(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SAMPLES.tobytes())
    found = open_models(tmp_path / "secret", format="raw", shape=(4, 7, 5), dtype="<f4", order="xz")
    assert np.array_equal(all_of(found), asymmetric(4))


def test_an_absolute_path_into_the_folder_is_refused_too(tmp_path: Path) -> None:
    header = HEADER + f'\tin="{tmp_path}/vp.rsf@"\n'
    with pytest.raises(errors.InputFileError, match="in: found"):
        open_models(saved(tmp_path, header))


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "none", "."):
        with pytest.raises(errors.InputFileError, match="which is not a file"):
            open_models(saved(tmp_path, HEADER + f"\tin={name}\n"))


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("n1=6", "found 560 bytes of samples, expected 672"),
        ("n1=five", "n1: found 'five', expected a number"),
        ("n1=0", r"n1 to n9: found \[0, 7, 4"),
        ("n1=1e400", "cannot be read"),
        ("n4=3", "n1 to n9"),
        ("data_format=ascii_float", "data_format: found ascii_float"),
        ("data_format=native_complex esize=8", "data_format: found native_complex of 8"),
        ("esize=8", "data_format: found native_float of 8 bytes"),
        ("unit=ft/s", "units: found 'ft/s'"),
        ("unit1=fathom", "unit of length: found 'fathom'"),
        ("d1=0", "dz: found 0.0 m"),
        ("in=stdin", "found stdin, but no samples"),
    ],
)
def test_impossible_headers_are_refused(tmp_path: Path, words: str, match: str) -> None:
    with pytest.raises((errors.InputFileError, errors.InputShapeError), match=match):
        open_models(saved(tmp_path, HEADER + f"\t{words}\n"))


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=60))
def test_any_header_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.rsf"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(errors.VelcodecError):
        open_models(path)


def test_a_written_file_is_one_text_header_and_samples(tmp_path: Path) -> None:
    path = written(tmp_path, "rsf", asymmetric(4), units="m/s", ground=GROUND)
    head, _, samples = path.read_bytes().partition(b"\x0c\x0c\x04")
    words = head.decode("ascii").split()
    assert {"n1=5", "n2=7", "n3=4", "d1=7.5", "o2=1000.0", 'in="stdin"'} <= set(words)
    assert samples == SAMPLES.tobytes()


def test_a_dtype_that_rsf_lacks_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    form = Form(1, 5, 7, dtype="<u8")
    with pytest.raises(errors.OptionError, match="dtype"), open_sink(tmp_path / "a.rsf", form):
        pass
    assert list(tmp_path.iterdir()) == []
