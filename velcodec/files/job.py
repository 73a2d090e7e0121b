"""A compression job: models in files and how to store them, read block by block."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from velcodec.encode.describe import make_batch
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding
from velcodec.files.origin_fields import ARRAY_FIELD, FILE_FIELD, ROW_FIELD
from velcodec.files.plans import (
    Hashes,
    Plan,
    hashes_of,
    make_plan,
)
from velcodec.formats.container.columns import is_text
from velcodec.formats.errors import (
    InputFileError,
    OptionError,
)
from velcodec.formats.facts import DEPTH, NAMES, Facts
from velcodec.formats.files import ARRAY, Form, Models, Part, first_of, open_models
from velcodec.formats.files.npy import ModelArray
from velcodec.formats.storage.locks import lazy_property
from velcodec.geometry import GROUND_FIELDS

if TYPE_CHECKING:
    from velcodec.encode.describe import Batch

MODELS_AT_ONCE = 500
"""Models read, encoded and committed together: the most that an interruption costs."""

MODELS_OF_BUDGET = 1000
"""The same for models that share a size budget."""

SAMPLES_AT_ONCE = 1 << 25


@dataclass(frozen=True)
class Job:
    """Models in files, and how to store them.

    The spacing, origin and units of `description` apply where a file states none. `keys` names all
    models, or None for the keys of the files; `fields` have one value for all models or one for
    each. `hashes` are the known SHA-256 of files.
    """

    models: Models
    description: Description = field(default_factory=Description)
    coding: Coding = field(default_factory=Coding)
    keys: Sequence[str] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    hashes: Hashes | None = None

    def __len__(self) -> int:
        return len(self.models)

    @property
    def place(self) -> str:
        """The file of the models, or the first of several, for messages."""
        first, *others = dict.fromkeys(str(part.path) for part in self.models.parts)
        return f"{first} and {len(others):,} more" if others else first

    def __post_init__(self) -> None:
        count = len(self)
        if self.keys is not None and len(self.keys) != count:
            raise OptionError(f"keys: found {len(self.keys)}, expected one for each of {count}")
        if self.models.need_names:
            for part in self.models.parts:
                if not is_text(part.file):
                    raise InputFileError(
                        f"{part.path}: name: expected one that UTF-8 can hold: the archive keeps "
                        "the files' names"
                    )
        units = {self._units(part.form) or "m/s" for part in self.models.parts}
        if len(units) > 1:
            raise OptionError(f"units: found {sorted(units)}, expected the same in all files")
        for name, value in self.fields.items():
            if not isinstance(value, str) and np.ndim(value) and len(value) != count:
                raise OptionError(f"field {name!r}: found {len(value)}, expected {count}")
        verticals: dict[str, Part] = {}
        for part in self.models.parts:
            verticals.setdefault(self._facts_of[id(part)].vertical or DEPTH, part)
        if len(verticals) > 1:
            (first, before), (other, part) = list(verticals.items())[:2]
            raise OptionError(
                f"{part.place}: vertical: found {other}, expected {first} as in {before.place}; "
                "state it with --vertical (vertical=)"
            )

    @lazy_property
    def _facts_of(self) -> dict[int, Facts]:
        """The facts of each part, by the part's `id`; those of the description go first."""
        stated = self.description.stated_facts()
        return {
            id(part): stated.or_else(part.form.facts).without_usual() for part in self.models.parts
        }

    @lazy_property
    def _differing(self) -> tuple[str, ...]:
        """The facts that are not the same in all files, and therefore fields of the models."""
        each = set(self._facts_of.values())
        return tuple(name for name in NAMES if len({getattr(facts, name) for facts in each}) > 1)

    @property
    def described(self) -> Description:
        """The description with all facts that are the same in all files."""
        facts = next(iter(self._facts_of.values())).stated()
        shared = {name: text for name, text in facts.items() if name not in self._differing}
        return replace(self.description, provenance="", licence="", facts=shared)

    def _units(self, form: Form) -> str | None:
        return form.units or self.description.units

    def blocks(self, start: int = 0) -> list[tuple[int, int]]:
        """Ranges (start, stop) of models to encode together, from model `start` on, balanced."""
        most = MODELS_AT_ONCE if self.coding.target.bytes_per_model is None else MODELS_OF_BUDGET
        count = -(-len(self) // most)
        ends = {len(self) * k // count for k in range(1, count + 1)}
        blocks, first, samples = [], 0, 0
        for number, size in enumerate(self._sizes()):
            if number > first and samples + size > SAMPLES_AT_ONCE:
                blocks.append((first, number))
                first, samples = number, 0
            samples += size
            if number + 1 in ends:
                blocks.append((first, number + 1))
                first, samples = number + 1, 0
        return [(a, b) for a, b in blocks if a >= start]

    def _sizes(self) -> Iterator[int]:
        for part in self.models.parts:
            yield from (part.form.samples for _ in range(len(part)))

    def batch(self, start: int, stop: int) -> Batch:
        """Models `start` to `stop`, read and checked; volumes are read as they are encoded."""
        from velcodec.encode.groups import joined_batches

        batches = []
        at = start
        for part, values in self.models.read_in_parts(start, stop):
            rows = slice(at, at + len(values))
            keys, fields = self._columns(part, rows)
            description = self._description_of(part)
            dtype, stated = np.dtype(part.form.dtype), description.units is not None
            models = cast("NDArray[Any]", values)  # volumes are asked for parts alone
            array = ModelArray(models, part.form.axes, dtype, description.units or "m/s")
            array = replace(array, name=part.place, units_stated=stated, z_up=part.form.z_up)
            batch = make_batch(
                array, description, keys, fields,
                advise=rows.start == 0, exact=self.coding.target.lossless, first=rows.start,
            )  # fmt: skip
            batches.append(batch)
            at = rows.stop
        return joined_batches(batches)

    def _description_of(self, part: Part) -> Description:
        return replace(
            self.description.on(part.form.ground),
            units=self._units(part.form),
            order=part.form.order,
            volume=part.form.ny is not None,
        )

    def _columns(self, part: Part, rows: slice) -> tuple[Sequence[str] | None, dict[str, Any]]:
        keys = self.keys[rows] if self.keys is not None else None
        if self._files_have_keys:
            first = self._firsts[id(part)]
            keys = (part.form.keys or ())[rows.start - first : rows.stop - first]
        fields = {
            name: value if isinstance(value, str) or not np.ndim(value) else value[rows]
            for name, value in self.fields.items()
        }
        start = rows.start - self._firsts[id(part)]
        stop = start + rows.stop - rows.start
        facts = self._facts_of[id(part)]
        differing = {name: getattr(facts, name) for name in self._differing}
        fields = self._origin(part, start, stop) | differing | fields
        if part.form.grounds is not None:
            for name in GROUND_FIELDS:
                values = [getattr(ground, name) for ground in part.form.grounds[start:stop]]
                column = np.array(values, dtype=float)
                if not np.isnan(column).all():
                    fields.setdefault(name, column)
        return keys, fields

    def _origin(self, part: Part, start: int, stop: int) -> dict[str, Any]:
        """The fields that say where models `start` to `stop` of a part came from."""
        if not self.models.need_names:
            return {}
        first = first_of(part)
        rows = np.arange(first + start, first + stop, dtype="<i4")
        fields: dict[str, Any] = {FILE_FIELD: part.file, ROW_FIELD: rows}
        if self._has_arrays:
            fields[ARRAY_FIELD] = part.array or ""
        return fields

    @lazy_property
    def _has_arrays(self) -> bool:
        """Whether the names of arrays are worth storing."""
        return any(part.array not in (None, ARRAY) for part in self.models.parts) or (
            len({(part.path, part.array) for part in self.models.parts})
            > len({part.path for part in self.models.parts})
        )

    @lazy_property
    def _files_have_keys(self) -> bool:
        """Whether keys come from the files; every file must have them."""
        parts = self.models.parts
        return self.keys is None and all(part.form.keys is not None for part in parts)

    @property
    def has_keys(self) -> bool:
        """Whether models have keys other than their numbers."""
        return self.keys is not None or self._files_have_keys

    def keys_by_file(self) -> Iterator[tuple[str, Sequence[str]]]:
        """The keys of the models, by file; "" is the file of keys given by the user."""
        if self.keys is not None:
            yield "", self.keys
        elif self._files_have_keys:
            for part in self.models.parts:
                yield part.place, part.form.keys or ()

    @lazy_property
    def _firsts(self) -> dict[int, int]:
        """Number of the first model of each part, by the part's `id`."""
        pairs = zip(self.models.parts, self._ends, strict=True)
        return {id(part): end - len(part) for part, end in pairs}

    @lazy_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(part) for part in self.models.parts))

    def slice(self, start: int, stop: int) -> Job:
        """The job for models `start` to `stop` only."""
        fields = {
            name: value if isinstance(value, str) or not np.ndim(value) else value[start:stop]
            for name, value in self.fields.items()
        }
        models = self.models.slice(start, stop)
        origins = [self._origin(part, 0, len(part)) for part in models.parts]
        for name in origins[0]:
            columns = [
                [one[name]] * len(part) if isinstance(one[name], str) else one[name].tolist()
                for one, part in zip(origins, models.parts, strict=True)
            ]
            values = [value for column in columns for value in column]
            fields.setdefault(name, np.array(values, "<i4") if name == ROW_FIELD else values)
        hashes = self.hashes
        if hashes is not None:
            hashes = {part.path: hashes[part.path] for part in models.parts}
        return replace(
            self,
            hashes=hashes,
            models=models if self._files_have_keys else models.without_keys(),
            keys=None if self.keys is None else self.keys[start:stop],
            fields=fields,
        )

    def parts_of(self, models: range) -> range:
        """Numbers of the files and arrays that hold these models."""
        if not models:
            return range(0)
        first = bisect_right(self._ends, models.start)
        return range(first, bisect_left(self._ends, models.stop) + 1)

    def with_hashes(self) -> Job:
        """The job with the SHA-256 of every file; reads each once. Raises InputFileError."""
        known = dict(self.hashes or {})
        paths = {part.path for part in self.models.parts}
        if len(paths) == 1 and self.description.source_sha256 is not None:
            known = dict.fromkeys(paths, self.description.source_sha256) | known
        return replace(self, hashes=hashes_of(self.models, known))

    def plan(self, **more: Any) -> Plan:
        """What must stay the same to resume an unfinished archive; see `make_plan`."""
        job = self if self.hashes is not None else self.with_hashes()
        assert job.hashes is not None
        return make_plan(
            job.models, job.hashes, job.description, job.coding, job.keys, job.fields, **more
        )


def models_of(
    sources: str | Path | Sequence[str | Path] | Models, description: Description
) -> Models:
    """The models of these sources, opened with what the description states of them unless they are
    open already. Raises what `velcodec.open_models` raises.
    """
    if isinstance(sources, Models):
        return sources
    return open_models(
        sources,
        unstated_order=description.axis_order,
        no_data=description.mask,
        ground=description.stated_ground(),
        volume=description.volume,
        facts=description.stated_facts(),
    )
