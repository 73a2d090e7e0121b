"""The server behind `velcodec view`: archives for one page on this machine.

Every address begins with a random token. Nothing is written, and the page may load nothing from
elsewhere. What archives say (keys, fields, errors) leaves here only as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from aiohttp import WSMsgType, web
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.archive.facts import check_not_time
from velcodec.archive.listing import rows_of
from velcodec.formats.errors import OptionError, VelcodecError
from velcodec.view.bundle import page_text, script
from velcodec.view.find import columns, find
from velcodec.view.model import COORDINATES, Change, ViewedModel, Window
from velcodec.view.plain import plain_json
from velcodec.view.thumbnails import thumbnails
from velcodec.view.volume import ViewedVolume

if TYPE_CHECKING:
    from velcodec.files.originals import Originals

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MODELS_KEPT, VOLUMES_KEPT = 16, 2
"""Models kept decoded, those looked at last; of volumes fewer, which take up to 0.5 GB each."""

MOST_AT_ONCE = 256
"""Models of one request."""

MOST_THUMBNAIL = 256
"""Pixels along a side of a thumbnail."""

GRACE_S = 3.0
"""Time for a closed page to come back, as when it is reloaded."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' ws://{place}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""`place` is the server's own; not every browser counts its sockets as 'self'."""

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Names of this machine; a server there answers to no other name."""


@dataclass(frozen=True)
class Viewed:
    """An archive that is shown, its name, and its original models if they are known."""

    name: str
    archive: Archive
    originals: Originals | None = None

    def __post_init__(self) -> None:
        for number in range(min(1, len(self.archive))):
            check_not_time(self.archive.reader, number, "the page has axes")


class Viewer:
    """The answers of a server to one page; `token` begins every address."""

    def __init__(self, shown: Sequence[Viewed], host: str = LOCAL[0]) -> None:
        self.shown, self.token = shown, secrets.token_urlsafe(16)
        self.is_local = host in LOCAL
        self.closed = asyncio.Event()
        self._pages = 0
        self._ending: asyncio.TimerHandle | None = None
        # A model that is being zoomed does not wait for thumbnails.
        self._near, self._far = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._models: OrderedDict[tuple[int, int], ViewedModel] = OrderedDict()
        self._volumes: OrderedDict[tuple[int, int], ViewedVolume] = OrderedDict()

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(middlewares=[self._guard])
        handlers: Mapping[str, Handler] = {
            "": self._page,
            "page.js": self._script,
            "style.css": self._style,
            "archives": self._archives,
            "columns": self._columns,
            "find": self._find,
            "rows": self._rows,
            "thumbnails": self._thumbnails,
            "model": self._model,
            "field": self._field,
            "alive": self._alive,
        }
        for name, handler in handlers.items():
            application.router.add_get(f"/{self.token}/{name}", handler)
        return application

    def warm_up(self) -> None:
        """Load what decoding needs while the browser starts."""
        if self.shown and len(self.shown[0].archive):
            self._far.submit(lambda: list(thumbnails(self.shown[0].archive, [0], 8)))

    def close(self) -> None:
        """Finish the work that is under way."""
        for pool in (self._near, self._far):
            pool.shutdown(cancel_futures=True)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse other names of this machine, put the headers on every answer, and tell velcodec's
        errors in one line.
        """
        if self.is_local and request.url.host not in LOCAL:
            raise web.HTTPForbidden(text="found another host, expected 127.0.0.1")
        try:
            response = await handler(request)
        except VelcodecError as error:
            text = " ".join(str(error).split())
            response = json_response({"error": text}, status=400)
        except web.HTTPException as error:
            error.headers.update(headers_for(request))
            raise
        if not response.prepared:
            response.headers.update(headers_for(request))
        return response

    # The page

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=page_text("index.html"), content_type="text/html")

    async def _script(self, _: web.Request) -> web.Response:
        return web.Response(text=script(), content_type="text/javascript")

    async def _style(self, _: web.Request) -> web.Response:
        return web.Response(text=page_text("style.css"), content_type="text/css")

    async def _alive(self, request: web.Request) -> web.StreamResponse:
        """Stays open as long as a page does; some time after the last one, `closed` is set."""
        socket = web.WebSocketResponse(heartbeat=20.0)
        await socket.prepare(request)
        self._pages += 1
        if self._ending is not None:
            self._ending.cancel()
        try:
            async for message in socket:
                if message.type == WSMsgType.ERROR:
                    break
        finally:
            self._pages -= 1
            if self._pages == 0:
                loop = asyncio.get_running_loop()
                self._ending = loop.call_later(GRACE_S, self.closed.set)
        return socket

    # Archives

    async def _archives(self, _: web.Request) -> web.Response:
        return json_response(
            [
                {
                    "name": each.name,
                    "models": len(each.archive),
                    "bytes": each.archive.reader.size,
                    "decoder": each.archive.header.decoder_name,
                    "has_originals": each.originals is not None,
                    "measured": each.archive.quality is not None,
                    "coordinates": COORDINATES,
                }
                for each in self.shown
            ]
        )

    async def _columns(self, request: web.Request) -> web.Response:
        viewed = self._viewed(request)
        return json_response(await self._work(self._far, lambda: columns(viewed.archive)))

    async def _find(self, request: web.Request) -> web.Response:
        viewed, asked = self._viewed(request), request.query
        found = await self._work(
            self._far,
            lambda: find(
                viewed.archive,
                asked.getall("where", []),
                asked.get("sort", ""),
                asked.get("descending") == "1",
            ),
        )
        return binary({}, found.astype("<u4"))

    async def _rows(self, request: web.Request) -> web.Response:
        viewed = self._viewed(request)
        numbers = self._numbers(request, viewed)
        rows = await self._work(
            self._far, lambda: [row.to_dict() for row in rows_of(viewed.archive, numbers)]
        )
        return json_response(rows)

    async def _thumbnails(self, request: web.Request) -> web.Response:
        viewed = self._viewed(request)
        numbers = self._numbers(request, viewed)
        pixels = min(max(integer(request, "pixels"), 1), MOST_THUMBNAIL)
        found = await self._work(
            self._far, lambda: list(thumbnails(viewed.archive, numbers, pixels))
        )
        about = [each.to_dict() for each in found]
        return binary({"thumbnails": about}, *(each.thumbnail.levels for each in found))

    # One model

    async def _model(self, request: web.Request) -> web.Response:
        at = self._place(request)
        return json_response(await self._work(self._near, lambda: self._kept(at).facts()))

    async def _field(self, request: web.Request) -> web.Response:
        """A window as float32, row by row, in m/s, NaN where absent; of a volume, a window of its
        section through `at` cells of the axis `section`.
        """
        at, asked = self._place(request), request.query
        z0, z1, x0, x1 = (number(request, name) for name in ("z0", "z1", "x0", "x1"))
        window = Window(z0, z1, x0, x1, integer(request, "nz"), integer(request, "nx"))
        layer = asked.get("layer", "field")
        if "section" in asked:
            axis, place = asked["section"], number(request, "at")
            section = await self._work(
                self._near, lambda: self._kept_volume(at).render(layer, axis, place, window)
            )
            return binary({}, section.astype("<f4"))
        change = Change(
            to=integer(request, "to") if "to" in asked else None,
            share=number(request, "share") if "share" in asked else 0.0,
            moves=tuple(numbers_of(asked.get("moves", ""))),
        )
        if change.to is not None:
            self.shown[at[0]].archive.index(change.to)

        def work() -> NDArray[np.float32]:
            model = self._kept_model(at)
            if layer == "latent":
                return model.render_changed(change, window)
            return model.render(layer, window)

        values = await self._work(self._near, work)
        return binary({}, values.astype("<f4"))

    def _kept(self, at: tuple[int, int]) -> ViewedModel | ViewedVolume:
        """The model at a place; called by the thread of `_near` alone, as the next two."""
        is_volume = self.shown[at[0]].archive.layout(at[1]).is_volume
        return self._kept_volume(at) if is_volume else self._kept_model(at)

    def _kept_model(self, at: tuple[int, int]) -> ViewedModel:
        return _one_of(self._models, at, lambda: ViewedModel(*self._of(at)), MODELS_KEPT)

    def _kept_volume(self, at: tuple[int, int]) -> ViewedVolume:
        return _one_of(self._volumes, at, lambda: ViewedVolume(*self._of(at)), VOLUMES_KEPT)

    def _of(self, at: tuple[int, int]) -> tuple[Archive, int, Originals | None]:
        viewed = self.shown[at[0]]
        return viewed.archive, at[1], viewed.originals

    # What requests ask for

    async def _work(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def _viewed(self, request: web.Request) -> Viewed:
        return self.shown[self._archive(request)]

    def _archive(self, request: web.Request) -> int:
        which = integer(request, "archive")
        if not 0 <= which < len(self.shown):
            raise OptionError(f"archive: found {which}, expected one of {len(self.shown)}")
        return which

    def _place(self, request: web.Request) -> tuple[int, int]:
        """Archive and model of a request, which names the model by its number or its key."""
        which = self._archive(request)
        key = request.query.get("key")
        model = integer(request, "model") if key is None else key
        return which, self.shown[which].archive.index(model)

    def _numbers(self, request: web.Request, viewed: Viewed) -> list[int]:
        wanted = [int(each) for each in numbers_of(request.query.get("models", ""))]
        if len(wanted) > MOST_AT_ONCE:
            raise OptionError(f"models: found {len(wanted)}, expected at most {MOST_AT_ONCE}")
        return [viewed.archive.index(each) for each in wanted]


def _one_of(
    kept: OrderedDict[tuple[int, int], T], at: tuple[int, int], make: Callable[[], T], most: int
) -> T:
    """What is kept for a place, or else is made; of `most`, those asked for last."""
    if at not in kept:
        kept[at] = make()
        if len(kept) > most:
            kept.popitem(last=False)
    kept.move_to_end(at)
    return kept[at]


def headers_for(request: web.Request) -> dict[str, str]:
    """What every answer forbids."""
    host, port = request.url.host or "", request.url.port
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not re.fullmatch(r"[\w.:\[\]-]+", place):
        place = LOCAL[0]
    return HEADERS | {"Content-Security-Policy": POLICY.format(place=place)}


def integer(request: web.Request, name: str) -> int:
    """A parameter of a request. Raises OptionError."""
    value = number(request, name)
    if value != int(value):
        raise OptionError(f"{name}: found {value}, expected a whole number")
    return int(value)


def number(request: web.Request, name: str) -> float:
    """A parameter of a request. Raises OptionError."""
    found = numbers_of(request.query.get(name, ""))
    if len(found) != 1:
        raise OptionError(f"{name}: found {request.query.get(name)!r}, expected a number")
    return found[0]


def numbers_of(text: str) -> list[float]:
    """Finite numbers with commas between. Raises OptionError."""
    try:
        found = [float(part) for part in text.split(",")] if text else []
    except ValueError:
        found = [float("nan")]
    if not np.isfinite(found).all():
        raise OptionError(f"numbers: found {text!r}, expected finite numbers with commas between")
    return found


def json_response(value: Any, status: int = 200) -> web.Response:
    """JSON without NaN, which browsers do not read."""
    return web.Response(text=plain_json(value), status=status, content_type="application/json")


def binary(about: dict[str, Any], *arrays: NDArray[Any]) -> web.Response:
    """The length of `about` in four bytes, `about` as JSON, then the arrays; padded to fours."""
    head = plain_json(about).encode()
    head += b" " * (-len(head) % 4)
    body = b"".join([len(head).to_bytes(4, "little"), head, *(a.tobytes() for a in arrays)])
    return web.Response(body=body, content_type="application/octet-stream")


async def serve(
    shown: Sequence[Viewed], host: str, port: int, opened: Callable[[str], None]
) -> None:
    """Serve until the page is closed or the task is cancelled; `opened` gets the address.

    `port` 0 takes a free one. Raises OSError if the port is taken.
    """
    viewer = Viewer(shown, host)
    runner = web.AppRunner(viewer.application(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        found = runner.addresses[0]
        name = f"[{found[0]}]" if ":" in found[0] else found[0]
        viewer.warm_up()
        opened(f"http://{name}:{found[1]}/{viewer.token}/")
        with contextlib.suppress(asyncio.CancelledError):
            await viewer.closed.wait()
    finally:
        await runner.cleanup()
        viewer.close()
