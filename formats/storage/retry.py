"""Wait for a remote server, for a limited time; retry what may succeed on another try.

What another try would not help fails at once: a missing file, a refusal, or a timeout, after which
the wait was long enough.
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
MIN_BYTES_PER_S = 1 << 14
"""Slowest accepted rate: the time allowed for an answer grows with its bytes at this rate."""

TRIES, FIRST_PAUSE_S = 4, 0.5
"""Number of tries, and seconds before the second; each pause is twice the one before."""

REPORT_AFTER_S = 5.0
"""Seconds after which the user is told what the program waits for."""

TRANSIENT_STATUS = frozenset((408, 425, 429, 500, 502, 503, 504))
"""HTTP status codes that may pass a little later."""

TRANSIENT_ERRORS = frozenset(("ServerDisconnectedError", "ClientPayloadError", "IncompleteRead"))
"""Errors of HTTP libraries for a connection that ended halfway."""


class NoAnswerError(OSError):
    """A server did not answer in time."""


def timeout() -> float:
    """Seconds that a server may take to answer. Raises OptionError if the setting is not such a
    number.
    """
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        found = float(text) if text.strip() else TIMEOUT_S
    except ValueError:
        found = math.nan
    if not 0 < found < threading.TIMEOUT_MAX / 2:
        raise OptionError(f"{TIMEOUT_VARIABLE}: expected more than 0 seconds, found {text!r}")
    return found


def with_retries(url: str, call: Callable[[], Found], count: int = 0) -> Found:
    """The result of `call`, which asks a server for about `count` bytes: within `timeout`, with
    several tries if the server is busy or the connection breaks.

    Raises NoAnswerError, and what `call` does.
    """
    seconds = timeout()
    pause = FIRST_PAUSE_S
    for number in range(2, TRIES + 1):
        try:
            return _with_timeout(seconds, count / MIN_BYTES_PER_S, url, call)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("%s: %s; try %d of %d follows", url, _name(error), number, TRIES)
        time.sleep(pause)
        pause *= 2
    return _with_timeout(seconds, count / MIN_BYTES_PER_S, url, call)


def is_transient(error: BaseException) -> bool:
    """Whether an error, or one of its causes, is worth another try."""
    first: BaseException | None = error
    while first is not None:
        if isinstance(first, ConnectionRefusedError | NoAnswerError):
            return False
        if isinstance(first, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
            return True
        if (
            getattr(first, "status", None) in TRANSIENT_STATUS
            or type(first).__name__ in TRANSIENT_ERRORS
        ):
            return True
        first = first.__cause__
    return False


def _name(error: BaseException) -> str:
    """A short description of a passing error."""
    first: BaseException | None = error
    while first is not None:
        status = getattr(first, "status", None)
        if isinstance(status, int):
            return f"the server answers {status}"
        first = first.__cause__
    return "the connection broke"


def _with_timeout(seconds: float, more: float, url: str, call: Callable[[], Found]) -> Found:
    """The result of `call`, run in a thread of its own, because few of the libraries under fsspec
    accept a time limit. A call that takes longer ends there, and its result is dropped.
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
    told = min(limit, REPORT_AFTER_S)
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
