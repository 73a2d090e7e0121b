"""Facts of models as a whole: what each may be, its usual form, and what is told of it."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest
from paths import DOCS

from velcodec.formats import crs
from velcodec.formats.errors import CorruptError, OptionError, UnknownFeatureError
from velcodec.formats.facts import DEPTH, NAMES, Facts, check_stored, checked_facts
from velcodec.formats.licences import is_known_licence, licence_of

LICENCES = {
    "CC BY 4.0": "CC-BY-4.0",
    "cc-by-4.0": "CC-BY-4.0",
    "CC BY-NC-SA 4.0": "CC-BY-NC-SA-4.0",
    "Creative Commons Attribution 4.0 International": "CC-BY-4.0",
    "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 License": "CC-BY-NC-SA-4.0",
    "https://creativecommons.org/licenses/by-nc/4.0/": "CC-BY-NC-4.0",
    "http://creativecommons.org/publicdomain/zero/1.0/": "CC0-1.0",
    "CC0": "CC0-1.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "MIT License": "MIT",
    "BSD 3-Clause": "BSD-3-Clause",
}


@pytest.mark.parametrize("spelling", LICENCES)
def test_usual_spellings_of_licences_become_their_identifiers(spelling: str) -> None:
    assert licence_of(f" {spelling} ") == LICENCES[spelling]
    assert licence_of(LICENCES[spelling]) == LICENCES[spelling]
    assert is_known_licence(LICENCES[spelling])


@pytest.mark.parametrize("text", ["CC BY", "by arrangement with the survey", "CC-BY-9.0"])
def test_another_licence_stays_as_it_is_and_is_not_taken_for_an_identifier(text: str) -> None:
    assert licence_of(text) == text
    assert not is_known_licence(text)


def test_expressions_and_own_licences_are_identifiers() -> None:
    assert is_known_licence("MIT OR (Apache-2.0 AND LicenseRef-survey-7)")
    assert not is_known_licence("MIT OR mine")


@pytest.mark.parametrize(
    "text", ["10.5281/zenodo.123", "doi:10.5281/zenodo.123", "https://doi.org/10.5281/zenodo.123"]
)
def test_a_doi_is_kept_without_its_resolver(text: str) -> None:
    assert checked_facts({"doi": text}).doi == "10.5281/zenodo.123"


WKT = 'PROJCS["here",GEOGCS["WGS 84",DATUM["a [b] c"]],UNIT["metre",1]]'
CODED = 'PROJCS["here",GEOGCS["g",AUTHORITY["EPSG","4326"]],AUTHORITY["EPSG","32631"]]'


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("epsg:32631", "EPSG:32631"),
        ("urn:ogc:def:crs:EPSG::32631", "EPSG:32631"),
        ("http://www.opengis.net/def/crs/EPSG/0/32631", "EPSG:32631"),
        ("EPSG:32631+5773", "EPSG:32631+5773"),
        (WKT, WKT),
        (CODED, "EPSG:32631"),
    ],
)
def test_a_reference_system_is_a_code_or_wkt_by_its_form(
    text: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crs, "pyproj_is_there", lambda: False)
    assert checked_facts({"crs": text}).crs == kept


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("crs", "32631", "expected AUTHORITY:CODE, such as EPSG:32631, or WKT"),
        ("crs", "UTM zone 31", "expected AUTHORITY:CODE"),
        ("crs", WKT[:-1], "expected AUTHORITY:CODE"),
        ("crs", f"{WKT}]", "expected AUTHORITY:CODE"),
        ("crs", 'GEOGCS["WGS 84"]', "in degrees, expected a projected one"),
        ("doi", "zenodo.123", "expected one such as 10.5281"),
        ("vertical", "pressure", "expected one of depth, elevation, time"),
        ("title", 7, "expected text"),
        ("title", "x" * 40_000, "found 40,000 bytes, expected at most 32,768"),
        ("title", "\ud800", "text that UTF-8 can hold"),
        ("colour", "red", "'colour', expected some of title, creator"),
    ],
)
def test_a_text_that_cannot_be_a_fact_is_refused_in_one_line(
    name: str, text: object, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crs, "pyproj_is_there", lambda: False)
    with pytest.raises(OptionError, match=f"^{name if name in NAMES else 'facts'}: ") as caught:
        checked_facts({name: text})
    assert expected in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.skipif(find_spec("pyproj") is None, reason="needs pyproj")
def test_pyproj_knows_the_reference_system_or_it_is_refused() -> None:
    assert crs.crs_name("EPSG:32631") == "WGS 84 / UTM zone 31N"
    for text, expected in (("EPSG:99999", "pyproj does not know"), ("EPSG:4326", "in degrees")):
        with pytest.raises(OptionError, match=expected):
            checked_facts({"crs": text})
    attributes = crs.grid_mapping_of("EPSG:32631")
    assert attributes["grid_mapping_name"] == "transverse_mercator"
    assert attributes["epsg_code"] == "EPSG:32631"
    assert checked_facts({"crs": attributes["crs_wkt"]}).crs == "EPSG:32631"
    del attributes["crs_wkt"]
    assert crs.crs_of_grid_mapping(attributes, "in.nc").startswith("PROJCRS")


def test_the_page_on_metadata_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "metadata.md").read_text(), re.DOTALL)
    exec(code, {"__name__": "guide"})
    assert capsys.readouterr().out == "CC-BY-4.0\n"


def test_that_z_is_depth_is_not_stored() -> None:
    assert checked_facts({"vertical": "Depth"}).vertical == DEPTH
    assert Facts(vertical=DEPTH, licence="MIT", provenance="p").shared() == {}
    assert Facts(vertical="time", datum="sea").shared() == {"vertical": "time", "datum": "sea"}


def test_keys_of_a_later_version_are_kept_or_refused_by_the_rule() -> None:
    check_stored({"crs": "EPSG:1", "epoch": 2010.5})
    with pytest.raises(UnknownFeatureError, match="'Epoch', which must be understood"):
        check_stored({"Epoch": 2010.5})
    with pytest.raises(UnknownFeatureError, match="vertical: found 'pressure'"):
        check_stored({"vertical": "pressure"})
    for broken in ([], {"crs": 7}, {"crs": "x" * 40_000}, {"vertical": None}):
        with pytest.raises((CorruptError, UnknownFeatureError)):
            check_stored(broken)
