"""Errors: one class per failure, each with its exit code, all with one base class."""

from __future__ import annotations

import inspect

from velcodec.formats import errors

CLASSES = [
    c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.VelcodecError)
]


def test_all_errors_have_one_base_class() -> None:
    defined = [c for c in vars(errors).values() if inspect.isclass(c)]
    assert defined == CLASSES
    assert len(CLASSES) > 15


def test_no_two_errors_share_an_exit_code() -> None:
    codes = [c.exit_code for c in CLASSES]
    assert sorted(codes) == sorted(set(codes))
    assert all(1 <= code <= 125 for code in codes)


def test_every_error_says_what_it_means() -> None:
    assert all(c.__doc__ for c in CLASSES)


def test_a_missing_key_is_reported_without_quotes_and_caught_as_a_key_error() -> None:
    error = errors.KeyNotFoundError("a.vlat: key: found no model with key 'x'")
    assert str(error) == "a.vlat: key: found no model with key 'x'"
    assert isinstance(error, KeyError)
    assert isinstance(errors.ModelNumberError("9"), IndexError)


def test_a_message_is_one_line_whatever_a_file_contains() -> None:
    error = errors.InputFileError("models.h5:vel\n\x1b[31m\u2028x: cannot be read")
    assert str(error) == r"models.h5:vel\n\x1b[31m\u2028x: cannot be read"
    assert str(errors.VelcodecError()) == ""
