"""An archive behaves like a list under any sequence of operations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

import velcodec
from velcodec.decoder import Decoder
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.errors import KeyNotFoundError, ModelNumberError, OptionError

SHAPES = [(3, 4), (5, 2)]
SEEDS = st.lists(st.integers(0, 2**31), min_size=1, max_size=3)
PLACES = st.lists(st.integers(0, 99), min_size=1, max_size=4)


def model(seed: int) -> np.ndarray:
    """A model determined by its seed."""
    random = np.random.default_rng(seed)
    found = random.integers(1500, 4500, SHAPES[seed % len(SHAPES)])
    return found.astype([np.float32, np.int16][seed // 2 % 2])


class ArchiveMachine(RuleBasedStateMachine):
    """`path` is an archive, or a folder of shards, of `models`, whose keys are `keys`."""

    folder: Path
    decoder: Decoder
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        ArchiveMachine.runs += 1
        self.here = self.folder / str(ArchiveMachine.runs)
        self.here.mkdir()
        self.path = self.here / "a.vlat"
        self.models: list[np.ndarray] = []
        self.keys: list[str] = []
        self.files = self.named = 0

    # What the machine does on its own

    def _new(self, seeds: list[int]) -> tuple[list[np.ndarray], list[str]]:
        keys = [f"k{self.named + i}" for i in range(len(seeds))]
        self.named += len(seeds)
        return [model(seed) for seed in seeds], keys

    def _fresh_path(self) -> Path:
        self.files += 1
        return self.here / f"{self.files}.vlat"

    def _is_file(self) -> bool:
        return self.path.is_file()

    # What is done to the archive

    @initialize(seeds=SEEDS)
    def create(self, seeds: list[int]) -> None:
        models, keys = self._new(seeds)
        with velcodec.create(self.path, decoder=self.decoder, lossless=True) as archive:
            archive.add(models, keys=keys)
        self.models, self.keys = models, keys

    @precondition(_is_file)
    @rule(seeds=SEEDS)
    def append(self, seeds: list[int]) -> None:
        models, keys = self._new(seeds)
        with velcodec.append(self.path, decoder=self.decoder, lossless=True) as archive:
            archive.add(models, keys=keys)
        self.models, self.keys = self.models + models, self.keys + keys

    @precondition(_is_file)
    @rule(seeds=SEEDS)
    def append_and_fail(self, seeds: list[int]) -> None:
        models, keys = self._new(seeds)
        with VlatReader(self.path) as reader:
            before = self.path.read_bytes()[: reader.end]
        with (
            pytest.raises(OptionError, match="found it twice"),
            velcodec.append(self.path, decoder=self.decoder, lossless=True) as archive,
        ):
            archive.add([*models, model(0)], keys=[*keys, self.keys[0]])
        assert self.path.read_bytes() == before

    @precondition(_is_file)
    @rule(seeds=SEEDS, lost=st.integers(1, 10_000))
    def append_and_lose_the_end(self, seeds: list[int], lost: int) -> None:
        """An addition cut off anywhere leaves the archive unchanged."""
        with VlatReader(self.path) as reader:
            before = reader.end
        models, keys = self._new(seeds)
        with velcodec.append(self.path, decoder=self.decoder, lossless=True) as archive:
            archive.add(models, keys=keys)
        added = self.path.stat().st_size - before
        with self.path.open("r+b") as stream:
            stream.truncate(before + added - 1 - lost % added)

    @precondition(_is_file)
    @rule(places=PLACES)
    def subset(self, places: list[int]) -> None:
        """Some models in any order, each once."""
        numbers = list(dict.fromkeys(place % len(self.models) for place in places))
        target = self._fresh_path()
        velcodec.subset(self.path, target, numbers)
        self.path = target
        self.models = [self.models[number] for number in numbers]
        self.keys = [self.keys[number] for number in numbers]

    @rule(cut=st.integers(0, 99))
    def split_and_merge(self, cut: int) -> None:
        """Swap two parts of the archive."""
        at = cut % len(self.models)
        parts = [part for part in (slice(at, None), slice(0, at)) if self.models[part]]
        files = [self._fresh_path() for _ in parts]
        for part, file in zip(parts, files, strict=True):
            velcodec.subset(self.path, file, part)
        self.path = self._fresh_path()
        velcodec.cat(files, self.path)
        self.models = self.models[at:] + self.models[:at]
        self.keys = self.keys[at:] + self.keys[:at]

    @rule(size=st.integers(1, 4))
    def split_into_shards(self, size: int) -> None:
        folder = self._fresh_path()
        velcodec.split(self.path, folder, models_per_shard=size)
        self.path = folder

    @precondition(lambda self: not self._is_file())
    @rule()
    def join_shards(self) -> None:
        target = self._fresh_path()
        velcodec.cat([self.path], target)
        self.path = target

    def _is_whole(self) -> bool:
        """Repair saves models of an unfinished addition too."""
        if not self._is_file():
            return True
        with VlatReader(self.path) as reader:
            return reader.unfinished == 0

    @precondition(_is_whole)
    @rule()
    def repair_what_is_whole(self) -> None:
        target = self._fresh_path()
        repaired = velcodec.repair(self.path, target)
        assert (repaired.saved, repaired.lost) == (len(self.models), ())
        self.path = target

    @precondition(lambda self: self._is_file() and self._is_whole() and len(self.models) > 1)
    @rule(place=st.integers(0, 99), byte=st.integers(0, 10_000), bit=st.integers(0, 7))
    def damage_a_record_and_repair(self, place: int, byte: int, bit: int) -> None:
        """All models of other blocks are saved."""
        with VlatReader(self.path) as reader:
            block = reader.locate(place % len(self.models))
        if block.count == len(self.models):
            return
        data = bytearray(self.path.read_bytes())
        data[block.at + byte % block.size] ^= 1 << bit
        damaged, self.path = self._fresh_path(), self._fresh_path()
        damaged.write_bytes(data)
        repaired = velcodec.repair(damaged, self.path)
        gone = slice(block.first, block.first + block.count)
        assert repaired.lost == ((gone.start, gone.stop),)
        del self.models[gone], self.keys[gone]

    # What must be so after each

    @rule(place=st.integers(0, 99))
    def read_one(self, place: int) -> None:
        number = place % len(self.models)
        with velcodec.open(self.path) as archive:
            for which in (number, number - len(self.models), self.keys[number]):
                assert archive[which].tobytes() == self.models[number].tobytes()
                assert archive[which].dtype == self.models[number].dtype
            assert archive.index(self.keys[number]) == number

    @rule(start=st.integers(-9, 9), stop=st.integers(-9, 9), step=st.sampled_from([-2, -1, 1, 3]))
    def read_a_slice(self, start: int, stop: int, step: int) -> None:
        with velcodec.open(self.path) as archive:
            expected = self.keys[start:stop:step]
            numbers = archive.select(slice(start, stop, step))
            assert [archive.keys[number] for number in numbers] == expected

    @rule()
    def read_what_is_not_there(self) -> None:
        with velcodec.open(self.path) as archive:
            assert "none" not in archive
            with pytest.raises(KeyNotFoundError):
                archive["none"]
            with pytest.raises(ModelNumberError):
                archive[len(self.models)]

    @invariant()
    def it_is_the_list(self) -> None:
        if not self.keys:
            return
        with velcodec.open(self.path) as archive:
            assert len(archive) == len(self.models)
            assert list(archive.keys) == self.keys
            for found, expected in zip(archive, self.models, strict=True):
                assert found.dtype == expected.dtype
                assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("examples", "steps"), [(10, 10), pytest.param(40, 25, marks=pytest.mark.slow)]
)
def test_any_sequence_of_changes_keeps_the_archive_equal_to_a_list(
    tiny: Decoder, tmp_path: Path, examples: int, steps: int
) -> None:
    class Machine(ArchiveMachine):
        folder, decoder = tmp_path, tiny

    quiet = [HealthCheck.too_slow]
    run(
        Machine,
        settings=settings(
            deadline=None,
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=quiet,
        ),
    )
