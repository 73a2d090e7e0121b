"""Every error of velcodec: one class per failure, each with its exit code.

A message is one line that names the file, the place, what was found and what was expected.
"""

from __future__ import annotations

import re

_NO_UTF_8 = re.compile("[\udc80-\udcff]")


class VelcodecError(Exception):
    """Base of all errors that velcodec raises on purpose."""

    exit_code = 1

    def __str__(self) -> str:
        """One printable line, whatever a file's own names and texts contain."""
        return shown(str(self.args[0])) if self.args else ""


def shown(text: str) -> str:
    """A text as one printable line, whatever a file contains: unprintable characters, such as
    terminal control codes, as `\x1b`, bytes of a name that are not UTF-8 as `\xff`.
    """
    return text if text.isprintable() else "".join(map(_shown_character, text))


def _shown_character(character: str) -> str:
    if character.isprintable():
        return character
    if _NO_UTF_8.match(character):
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


class OptionError(VelcodecError):
    """An option or argument has a value that is not allowed."""

    exit_code = 2


class InputShapeError(VelcodecError):
    """The input's shape is not that of models."""

    exit_code = 10


class InputDtypeError(VelcodecError):
    """The input's dtype is not float32, float64 or an integer."""

    exit_code = 11


class EmptyInputError(VelcodecError):
    """The input holds no sample."""

    exit_code = 12


class NonFiniteError(VelcodecError):
    """The input holds a NaN or an infinity."""

    exit_code = 13


class InputFileError(VelcodecError):
    """The input file cannot be read as what it should be."""

    exit_code = 14


class NoDataError(VelcodecError):
    """The input holds no-data samples: masked, marked, or of dead traces."""

    exit_code = 15


class ChangedFileError(VelcodecError):
    """A file was replaced, or altered, while it was read."""

    exit_code = 16


class UnitsError(VelcodecError):
    """The input's values are not velocities in the assumed units."""

    exit_code = 17


class NotVlatError(VelcodecError):
    """The bytes are not a .vlat archive."""

    exit_code = 20


class TruncatedError(VelcodecError):
    """The archive ends before it should."""

    exit_code = 21


class CorruptError(VelcodecError):
    """The archive was altered: a checksum or a bound does not hold."""

    exit_code = 22


class VersionError(VelcodecError):
    """The archive's version is not one that the reader knows."""

    exit_code = 23


class DamagedEndError(VelcodecError):
    """Intact models follow the last valid index: the index that leads to them is damaged."""

    exit_code = 24


class UnknownFeatureError(VelcodecError):
    """The archive uses a feature that must be understood and that this reader does not know."""

    exit_code = 25


class MissingDecoderError(VelcodecError):
    """The decoder that the archive needs is not available."""

    exit_code = 30


class DecoderFileError(VelcodecError):
    """A decoder file is not one, was altered, or lacks a part."""

    exit_code = 31


class ContextNetworkError(VelcodecError):
    """The archive's exact streams need a context network that is not available."""

    exit_code = 32


class SamplerError(VelcodecError):
    """There is no field between samples: the sampler is not available, or they are too large."""

    exit_code = 33


class MissingExtraError(VelcodecError, ImportError):
    """An optional dependency is not installed."""

    exit_code = 34


class ResolutionError(VelcodecError):
    """The requested resolution is zero, negative or absurdly large."""

    exit_code = 40


class PointsOutsideError(VelcodecError):
    """A point lies outside the model's extent."""

    exit_code = 41


class MixedShapesError(VelcodecError):
    """Models of different shapes cannot be stacked into one array."""

    exit_code = 42


class VolumeError(VelcodecError):
    """A volume stands where a section is needed, or a section where a volume is."""

    exit_code = 45


class KeyNotFoundError(VelcodecError, KeyError):
    """No model has this key or number."""

    exit_code = 43


class ModelNumberError(VelcodecError, IndexError):
    """No model has this number."""

    exit_code = 44


class BudgetError(VelcodecError):
    """The requested bytes per model cannot be kept."""

    exit_code = 50


class QualityError(VelcodecError):
    """The requested quality cannot be reached by the allowed means."""

    exit_code = 52


class VerificationError(VelcodecError):
    """The models of an archive are not what they should be."""

    exit_code = 51


class RepairError(VelcodecError):
    """Nothing can be saved from a damaged archive."""

    exit_code = 53


class OutputExistsError(VelcodecError):
    """The output exists already and must not be replaced."""

    exit_code = 60


class OutputPathError(VelcodecError):
    """The output cannot be written to its path."""

    exit_code = 61


class LockedError(VelcodecError):
    """Another process is adding to the archive."""

    exit_code = 62


class InterruptedJobError(VelcodecError):
    """Work was interrupted; finished parts are kept, and it can be resumed."""

    exit_code = 63


class WorkerError(VelcodecError):
    """No worker could finish a shard."""

    exit_code = 64
