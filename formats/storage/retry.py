"""Waiting for a remote server: not for ever, and again where another try may do better.

What is not worth another try fails at once: a file that is not there, a refusal, a timeout, after
which it was waited long enough.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from velcodec.formats.errors import OptionError

log = logging.getLogger(__name__)

Found = TypeVar("Found")

TIMEOUT_VARIABLE = "VELCODEC_TIMEOUT"
"""Environment variable: seconds that a server may take to answer."""

TIMEOUT_S = 30.0
LEAST_BYTES_PER_S = 1 << 14
"""An answer may take so much longer as its bytes take at this rate."""

TRIES, FIRST_PAUSE_S = 4, 0.5
"""Tries in all, and seconds before the second one; each pause is twice the one before."""

TELL_AFTER_S = 5.0
"""Seconds after which it is told what is waited for."""

PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
"""What a server answers that may do better a little later."""

PASSING_NAMES = frozenset(("ServerDisconnectedError", "ClientPayloadError", "IncompleteRead"))
"""Errors of HTTP libraries about a connection that ended in the middle."""


class NoAnswerError(OSError):
    """A server did not answer in time."""


def timeout() -> float:
    """Seconds that a server may take to answer. Raises OptionError for what is no such number."""
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        found = float(text) if text.strip() else TIMEOUT_S
    except ValueError:
        found = math.nan
    if not 0 < found < threading.TIMEOUT_MAX / 2:
        raise OptionError(f"{TIMEOUT_VARIABLE}: expected more than 0 seconds, found {text!r}")
    return found


def patiently(url: str, call: Callable[[], Found], count: int = 0) -> Found:
    """What `call` returns, which asks a server for `count` bytes or so: within `timeout`, and in
    several tries where the server is busy or the connection breaks.

    Raises NoAnswerError, and what `call` does.
    """
    seconds = timeout()
    pause = FIRST_PAUSE_S
    for number in range(2, TRIES + 1):
        try:
            return _within(seconds, count / LEAST_BYTES_PER_S, url, call)
        except Exception as error:
            if not passes(error):
                raise
            log.warning("%s: %s; try %d of %d follows", url, _name(error), number, TRIES)
        time.sleep(pause)
        pause *= 2
    return _within(seconds, count / LEAST_BYTES_PER_S, url, call)


def passes(error: BaseException) -> bool:
    """Whether what went wrong, or what led to it, is worth another try."""
    first: BaseException | None = error
    while first is not None:
        if isinstance(first, ConnectionRefusedError | NoAnswerError):
            return False
        if isinstance(first, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
            return True
        if getattr(first, "status", None) in PASSING or type(first).__name__ in PASSING_NAMES:
            return True
        first = first.__cause__
    return False


def _name(error: BaseException) -> str:
    """What to call an error that passes, in a few words."""
    first: BaseException | None = error
    while first is not None:
        status = getattr(first, "status", None)
        if isinstance(status, int):
            return f"the server answers {status}"
        first = first.__cause__
    return "the connection broke"


def _within(seconds: float, more: float, url: str, call: Callable[[], Found]) -> Found:
    """What `call` returns, from a thread of its own: few of the libraries under fsspec let a
    caller say how long they may take. What takes longer ends there, unheard.
    """
    answers: list[Any] = []
    errors: list[BaseException] = []
    ended = threading.Event()

    def work() -> None:
        try:
            answers.append(call())
        except BaseException as error:
            errors.append(error)
        ended.set()

    threading.Thread(target=work, daemon=True, name="velcodec-remote").start()
    limit = seconds + more
    told = min(limit, TELL_AFTER_S)
    if not ended.wait(told):
        if limit > told:
            log.warning("%s: no answer yet; it is waited for %g s in all", url, round(limit, 1))
        if not ended.wait(limit - told):
            raise NoAnswerError(
                f"no answer within {limit:.3g} s (--timeout and {TIMEOUT_VARIABLE} change that)"
            )
    if errors:
        raise errors[0]
    found: Found = answers[0]
    return found
