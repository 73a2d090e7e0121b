"""The server of `velcodec view`: a token, one machine, JSON, one-line errors, and its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer
from rich_archives import rich_archive
from volumes import folded_volume

import velcodec
from velcodec.decoder import Decoder
from velcodec.view import server
from velcodec.view.server import Viewed, Viewer

T = TypeVar("T")
Client = TestClient  # generic in newer versions alone
Ask = Callable[[Client, str], Awaitable[T]]

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def viewed(tiny: Decoder) -> Viewed:
    fields = {"family": [EVIL if i % 2 else "flat" for i in range(12)], "depth_m": np.arange(12.0)}
    keys = [f"m{i}" if i else EVIL for i in range(12)]
    return Viewed("rich.vlat", velcodec.open(rich_archive(tiny, keys=keys, fields=fields)))


def served(viewed: Viewed, ask: Ask[T], host: str = "127.0.0.1") -> T:
    async def work() -> T:
        viewer = Viewer([viewed], host)
        async with TestClient(TestServer(viewer.application())) as client:
            client.velcodec = viewer  # type: ignore[attr-defined]
            try:
                return await ask(client, f"/{viewer.token}/")
            finally:
                viewer.close()

    return asyncio.run(work())


def got(viewed: Viewed, path: str) -> tuple[int, bytes, dict[str, str]]:
    async def ask(client: Client, root: str) -> tuple[int, bytes, dict[str, str]]:
        answer = await client.get(root + path)
        return answer.status, await answer.read(), dict(answer.headers)

    return served(viewed, ask)


def parts(body: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(body[:4], "little")
    return json.loads(body[4 : 4 + length]), body[4 + length :]


def test_nothing_is_told_without_the_token(viewed: Viewed) -> None:
    async def ask(client: Client, root: str) -> list[int]:
        paths = ["/", "/archives", f"{root[:-4]}/archives", "/x/archives?archive=0"]
        return [(await client.get(path)).status for path in paths]

    assert served(viewed, ask) == [404] * 4


def test_tokens_are_random() -> None:
    async def tokens() -> set[str]:
        return {Viewer([]).token for _ in range(50)}

    found = asyncio.run(tokens())
    assert len(found) == 50
    assert min(map(len, found)) >= 20


def test_every_answer_forbids_what_comes_from_elsewhere(viewed: Viewed) -> None:
    for path in ("", "page.js", "style.css", "archives", "model?archive=0&model=99", "nothing"):
        _, _, headers = got(viewed, path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_another_name_of_this_machine_is_refused(viewed: Viewed) -> None:
    """A page elsewhere may point its own name here."""

    async def ask(client: Client, root: str) -> int:
        return (await client.get(root, headers={"Host": "evil.example"})).status

    assert served(viewed, ask) == 403
    assert served(viewed, ask, "0.0.0.0") == 200


def test_the_page_loads_nothing_but_its_own_files(viewed: Viewed) -> None:
    for path in ("", "page.js", "style.css"):
        status, body, _ = got(viewed, path)
        assert status == 200
        text = body.decode()
        assert "http://" not in text
        assert "https://" not in text
    script = got(viewed, "page.js")[1].decode()
    assert "import " not in script.replace("// ", "")
    for door in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert door not in script


def test_what_archives_say_leaves_as_json_without_markup(viewed: Viewed) -> None:
    for path in ("rows?archive=0&models=0,1", "columns?archive=0", "model?archive=0&key=" + EVIL):
        status, body, headers = got(viewed, path)
        assert status == 200
        assert b"<" not in body
        assert headers["Content-Type"].startswith("application/json")
        json.loads(body)
    row = json.loads(got(viewed, "rows?archive=0&models=0")[1])[0]
    assert (row["key"], row["fields"]["family"]) == (EVIL, "flat")


def test_models_are_found_by_conditions(viewed: Viewed) -> None:
    status, body, _ = got(
        viewed, "find?archive=0&where=depth_m>=9&where=key!=m10&sort=depth_m&descending=1"
    )
    assert status == 200
    assert np.frombuffer(parts(body)[1], "<u4").tolist() == [11, 9]


def test_fields_are_floats_row_by_row(viewed: Viewed) -> None:
    path = "field?archive=0&model=3&layer=field&z0=0&z1=9&x0=0&x1=14&nz=9&nx=14"
    found = np.frombuffer(parts(got(viewed, path)[1])[1], "<f4").reshape(9, 14)
    np.testing.assert_allclose(found, viewed.archive[3], atol=0.01)


def test_thumbnails_come_with_their_ranges(viewed: Viewed) -> None:
    about, body = parts(got(viewed, "thumbnails?archive=0&models=5,2&pixels=28")[1])
    first = about["thumbnails"][0]
    assert (first["number"], first["nx"]) == (5, 28)  # 14 x 20 m wide, 9 x 5 m deep
    assert len(body) == sum(each["nz"] * each["nx"] for each in about["thumbnails"])


@pytest.fixture(scope="module")
def volume() -> Viewed:
    samples = folded_volume(9, 14, 12)
    blob = velcodec.compress(samples, volume=True, dx=20, dy=10, dz=5, lossless=True)
    return Viewed("v.vlat", velcodec.open(blob))


def test_sections_of_a_volume_are_floats_row_by_row(volume: Viewed) -> None:
    path = "field?archive=0&model=0&layer=field&section=x&at=4.5&z0=0&z1=9&x0=0&x1=14&nz=9&nx=14"
    found = np.frombuffer(parts(got(volume, path)[1])[1], "<f4").reshape(9, 14)
    assert np.array_equal(found, volume.archive.section(0, x=4))


def test_a_volume_tells_its_axes_and_has_a_thumbnail(volume: Viewed) -> None:
    facts = json.loads(got(volume, "model?archive=0&model=0")[1])
    assert facts["volume"]["y"] == {"origin": 0.0, "spacing": 10.0, "samples": 14}
    assert (facts["nz"], facts["ny"], facts["nx"]) == (9, 14, 12)
    assert (facts["low"], facts["high"]) == (volume.archive[0].min(), volume.archive[0].max())
    about, body = parts(got(volume, "thumbnails?archive=0&models=0&pixels=24")[1])
    assert (about["thumbnails"][0]["nz"], about["thumbnails"][0]["nx"]) == (4, 24)  # 45 x 240 m
    assert len(body) == 4 * 24


@pytest.mark.parametrize(
    "asked",
    [
        "section=w&at=1&layer=field", "section=x&at=13&layer=field", "section=x&layer=field",
        "section=x&at=1&layer=bicubic", "section=x&at=1&layer=error", "layer=field",
        "section=x&at=1&layer=field&x0=15",
    ],
)  # fmt: skip
def test_a_wrong_request_for_a_section_is_one_line(volume: Viewed, asked: str) -> None:
    usual = {"archive": 0, "model": 0, "z0": 0, "z1": 9, "x0": 0, "x1": 14, "nz": 9, "nx": 14}
    given = dict(each.split("=") for each in asked.split("&"))
    path = "&".join(f"{name}={value}" for name, value in (usual | given).items())
    status, body, _ = got(volume, f"field?{path}")
    assert status == 400
    assert "\n" not in json.loads(body)["error"]


def test_a_model_of_two_axes_has_no_sections(viewed: Viewed) -> None:
    path = "field?archive=0&model=3&section=x&at=1&z0=0&z1=9&x0=0&x1=14&nz=9&nx=14"
    status, body, _ = got(viewed, path)
    assert status == 400
    assert "expected a volume" in json.loads(body)["error"]


@pytest.mark.parametrize(
    "path",
    [
        "model?archive=0&model=12", "model?archive=1&model=0", "model?archive=0&key=nobody",
        "model?archive=0&model=nan", "model?archive=0", "find?archive=0&where=x",
        "rows?archive=0&models=1,x",
        "field?archive=0&model=0&layer=secret&z0=0&z1=9&x0=0&x1=14&nz=9&nx=14",
        "field?archive=0&model=0&z0=0&z1=9&x0=0&x1=14&nz=9000&nx=14000",
        "field?archive=0&model=0&layer=error&z0=0&z1=9&x0=0&x1=14&nz=9&nx=14",
        "field?archive=0&model=0&layer=latent&to=77&z0=0&z1=9&x0=0&x1=14&nz=9&nx=14",
        "thumbnails?archive=0&models=" + ",".join(["1"] * 300) + "&pixels=10",
    ],
)  # fmt: skip
def test_a_wrong_request_is_one_line(viewed: Viewed, path: str) -> None:
    status, body, _ = got(viewed, path)
    assert status == 400
    error = json.loads(body)["error"]
    assert error
    assert "\n" not in error


def test_the_server_ends_a_while_after_its_last_page(
    viewed: Viewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "GRACE_S", 0.2)

    async def ask(client: Client, root: str) -> list[bool]:
        viewer: Viewer = client.velcodec  # type: ignore[attr-defined]
        seen = [viewer.closed.is_set()]
        first = await client.ws_connect(root + "alive")
        await first.close()
        second = await client.ws_connect(root + "alive")  # reloaded
        await asyncio.sleep(0.4)
        seen.append(viewer.closed.is_set())
        await second.close()
        await asyncio.wait_for(viewer.closed.wait(), 5)
        return seen

    assert served(viewed, ask) == [False, False]
