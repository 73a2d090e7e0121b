"""Which candidates are looked at: steps closed in on for each tile size, tile sizes from large to
small while they gain, then the neighbours of what was chosen.

Both goals go this way. For a PSNR every model is searched alone, for the coarsest step that reaches
it. For a size some models are searched together, for the finest step within it, and the candidates
around that are allocated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, inf, isfinite, isinf

import numpy as np

from velcodec.encode.allocate import FEW_MODELS, Allocation, Size, cheapest_within
from velcodec.encode.candidates import Candidate, Candidates
from velcodec.encode.coded import CodedModel
from velcodec.encode.samples import SampleCoder
from velcodec.metrics import mse_of_psnr, psnr_of_mse
from velcodec.parallel import in_threads

TILE_SIZES = (280, 140, 70, 48, 35, 24, 16, 12, 8)

STEP_RATE = 0.07
"""About what a finer step adds to the rate as a share."""

ROUND_DOWN = 0.25
"""A step that is expected to miss by no more of a step is tried all the same."""

DEARER = 1.3
"""Latents that take so many times the bits of samples are cut into smaller tiles no further."""

SURE = 0.7
"""Latents of so many times the bits that samples are foretold to take win without a look at them.
"""

FEW_BITS, MANY_BITS = 800.0, 2400.0
"""A tile of fewer bits gains nothing by smaller ones; one of more bits does."""

SMOOTH_COSTS = 1.3
"""Latents of smooth models take so many times what is foretold of layered ones."""

MISSED_BITS = 1200.0
"""What missed a PSNR takes so many at least for each tile to reach it, in smaller ones."""

SAMPLE_MODELS = 24
"""So many models, spread evenly, stand for all in the choice of a tile size and a step."""

RECORD_BITS, FILE_BITS = 22.0, 400.0
"""About what a record, and a file without its header, take beside the tiles."""

TRIALS = 6
"""Steps tried with each tile size at most."""

COMPLETIONS, STRICTER = 3, 0.97
"""Times that all tiles of a model are coded at most, and how much less error is asked of them than
what would have sufficed the time before.
"""

STEPS_AROUND, FEW_STEPS = (-4, 0, 4), (-2, 0, 2)
"""Steps about the middle that every model is coded at first; where only few steps are tried."""

BEYOND_STEPS = 4
"""How far beyond the coarsest step, where nothing fits, or the finest, where there is room."""

FEW_TILES = 64
"""Of so few tiles every step beside the chosen one is looked at, of more every second one."""

ERRORS_M_S = (280.0, 100.0, 35.0, 12.0, 3.5, 0.7, 0.0)
"""Root mean square errors of samples that are tried first; 0 is bit for bit."""

RATIO, FINE_RATIO = 2.0, 1.05
"""Errors around the chosen one are halved until they are so near; finely where room is left."""

REACH = 2.5
"""Samples are tried where they take fewer times what a model has on average."""

FILLED = 0.98
"""A few models are searched further until so much of the size is used; many differ enough."""

LEAST_ERROR_M_S = 0.01
"""No smaller error is tried but bit for bit: it rounds to 100 dB."""

ROUNDS = 12
"""Times that neighbours of what was chosen are looked at; the last ones gain nothing."""


class Crossing:
    """Closes in on the step at which what rises with it, PSNR or rate, crosses `target`.

    `next` is the step to be tried; None once it is between neighbours, or a line through what is
    known says that no step in between is worth it. `slope` is what a step adds at first.
    """

    def __init__(self, target: float, first: int, last: int, slope: float) -> None:
        self.target, self.last, self.slope = target, last, slope
        self.below: tuple[int, float] | None = None
        self.above: tuple[int, float] | None = None
        self.next: int | None = first

    def add(self, step: int, value: float) -> None:
        """What was found at the step that was tried."""
        same_side = self.below if value < self.target else self.above
        if same_side is not None and step != same_side[0]:
            rise = (value - same_side[1]) / (step - same_side[0])
            self.slope = max(rise, self.slope / 4.0)
        if value < self.target:
            self.below = step, value
        else:
            self.above = step, value
        self.next = self._aim(step, value)

    def _aim(self, step: int, value: float) -> int | None:
        lowest = 0 if self.below is None else self.below[0] + 1
        highest = self.last if self.above is None else self.above[0] - 1
        slope = self.slope
        if self.below is not None and self.above is not None:
            (left, low), (right, high) = self.below, self.above
            slope = (high - low) / (right - left)
        if isinf(self.target) or slope <= 0:
            return None
        wanted = max(lowest, ceil(step + (self.target - value) / slope - ROUND_DOWN))
        if self.above is None:
            wanted = min(wanted, highest)
        return wanted if lowest <= wanted <= highest else None


def encode_to_psnr(
    candidates: Candidates, members: list[int], psnr_db: float, keep_latent: bool = False
) -> list[CodedModel]:
    """Every member, in order, at a PSNR or better in the fewest bits; its best latent where only
    latents may serve and none reaches that. With `keep_latent` samples stand beside the latent.
    """
    mse = mse_of_psnr(psnr_db)
    if candidates.samples is None:
        found = latents_within(candidates, members, mse, dict.fromkeys(members, inf))
        return [found[i] for i in members]
    samples = candidates.samples
    enough = dict(in_threads(lambda i: samples.about(i, mse), members))
    if keep_latent:
        latents = latents_within(candidates, members, mse, dict.fromkeys(members, inf))
    else:
        likely = _likely_latents(candidates, members, mse, enough)
        latents = latents_within(candidates, likely, mse, enough)

    def cheapest(i: int) -> CodedModel:
        latent = latents.get(i)
        sure = latent is not None and latent.mse <= mse and latent.bits < SURE * enough[i]
        if latent is not None and sure and not keep_latent:
            return latent
        own = samples.reaching(i, mse)
        return own if latent is None else cheapest_within(mse, latent, own, keep_latent)

    chosen = []
    for _, model in in_threads(cheapest, members):
        chosen.append(model)
        candidates.fitter.on_progress(len(chosen), len(members), "samples")
    return chosen


def _likely_latents(
    candidates: Candidates, members: list[int], mse: float, enough: dict[int, float]
) -> list[int]:
    """The members whose latents may take the fewest bits. Where the encoder's guess does not tell
    by far, samples are made first, and their bits replace those that were expected in `enough`.
    """
    samples, reach = candidates.samples, candidates.fitter.effort.reach
    assert samples is not None
    foretold = candidates.foretold(members, mse)

    def is_likely(i: int) -> bool:
        bits = foretold[i] * (SMOOTH_COSTS if samples.is_smooth(i) else 1.0)
        if bits >= SURE * enough[i] and isfinite(reach):
            enough[i] = samples.reaching(i, mse).bits
        return bits <= reach * enough[i]

    return [i for i, likely in in_threads(is_likely, members) if likely]


def latents_within(
    candidates: Candidates, members: Sequence[int], mse: float, enough: Mapping[int, float]
) -> dict[int, CodedModel]:
    """The cheapest latent of each member within a mean squared error, (m/s)^2, or the closest.

    `enough` are the bits of each model's samples: latents that take clearly more are improved no
    further.
    """
    best: dict[int, Candidate] = {}
    closest: dict[int, Candidate] = {}
    active, total = list(members), len(members)
    for tile, members in _tile_sizes(candidates, active):
        most = {i: DEARER * enough[i] for i in members}
        for i, found in candidates.within(members, tile, mse, most).items():
            tiles = candidates.tiling(i, tile).tiles
            reached, least = found.mse <= mse, 0.0
            gains = True
            if not reached:
                least = MISSED_BITS * tiles
                if i not in closest or found.mse < closest[i].mse:
                    closest[i] = found
            elif i not in best or found.bits < best[i].bits:
                best[i] = found
                gains = found.bits > FEW_BITS * tiles
            else:
                gains = False
            if not gains or max(found.bits, least) > most[i]:
                active.remove(i)
        candidates.fitter.on_progress(total - len(active), total, "search")
    return _completed(candidates, closest | best, mse)


def _tile_sizes(candidates: Candidates, active: list[int]) -> Iterator[tuple[int, list[int]]]:
    """Tile sizes, large ones first, with those of the active members that each cuts anew."""
    shapes: dict[int, tuple[int, int]] = {}
    for tile in TILE_SIZES:
        tilings = {i: candidates.tiling(i, tile).tile_shape for i in active}
        anew = [i for i, shape in tilings.items() if shapes.get(i) != shape]
        shapes |= tilings
        if anew:
            yield tile, anew


def _completed(
    candidates: Candidates, chosen: dict[int, Candidate], mse: float
) -> dict[int, CodedModel]:
    """The models of these candidates; those that were estimated are coded, of a lower
    error in each tile while the whole misses what the estimate promised.
    """
    models = {}
    for i, found in chosen.items():
        asked = mse
        model = found.model
        for _ in range(COMPLETIONS if model is None or found.mse > mse else 0):
            if model is not None and (model.mse <= mse or found.mse > mse):
                break
            model = candidates.wholly_within(i, found.tile, asked)
            asked *= STRICTER * min(1.0, mse / model.mse)
        assert model is not None
        models[i] = model
    return models


class SizeSearch:
    """The best coding of some models within a size. Candidates stay when `use` changes what makes
    samples, and when `fill` is asked for another size.
    """

    def __init__(self, candidates: Candidates, bytes_per_model: float, header_bytes: int) -> None:
        self.candidates, self.bytes_per_model = candidates, bytes_per_model
        count = len(candidates)
        shared = FILE_BITS + 8.0 * header_bytes
        self.rate = max(8.0, 8.0 * bytes_per_model - RECORD_BITS - shared / count)
        self.tile, middle = _operating_point(candidates, self.rate)
        tiles = sum(candidates.tiling(i, self.tile).tiles for i in range(count))
        every = candidates.fitter.effort.thorough
        self.spacing = 1 if every and tiles <= FEW_TILES else 2
        self.latents: list[dict[int, CodedModel]] = [{} for _ in range(count)]
        self.single: dict[int, CodedModel] = {}
        for offset in STEPS_AROUND if every else FEW_STEPS:
            if 0 <= middle + offset <= candidates.fitter.last_step:
                self._add_latents(dict.fromkeys(range(count), middle + offset))
        self.use(candidates.coder)

    def use(self, coder: SampleCoder | None) -> None:
        """Make samples by this coder, in place of any that there were; None for latents alone."""
        self.candidates.use(coder)
        self.samples: list[dict[float, list[CodedModel]]] = [{} for _ in self.latents]
        samples = self.candidates.samples
        if samples is None:
            return
        for i, known in enumerate(self.samples):
            for error in ERRORS_M_S:
                known[error] = samples.of_error(i, error)
                if min(each.bits for each in known[error]) >= REACH * self.rate:
                    break
            self.candidates.fitter.on_progress(i + 1, len(self.samples), "samples")

    def fill(self, budget: float, size: Size) -> list[CodedModel]:
        """The choice of the greatest utility, in order, whose file takes at most `budget` bytes;
        the one of the fewest bytes where none does.
        """
        allocation = Allocation(budget, size)
        latents = [list(own.values()) for own in self.latents]
        if allocation.size(allocation.best(latents)) <= budget:
            # Samples must not keep latents away that integer descent would make the better choice.
            self._search(allocation, samples=False)
        return self._search(allocation, samples=True)

    def _search(self, allocation: Allocation, samples: bool) -> list[CodedModel]:
        """The choice that nothing around it makes better, with samples or not."""
        choices = self._choices(samples)
        chosen = allocation.share_domains(allocation.best(choices), choices)
        for _ in range(ROUNDS):
            if self._refine(chosen, allocation, samples):
                chosen = allocation.improve(chosen, self._choices(samples))
                continue
            found = allocation.share_domains(chosen, self._choices(samples))
            if found is chosen:
                break
            chosen = found
        return chosen

    def _choices(self, samples: bool) -> list[list[CodedModel]]:
        """All candidates of each model, with samples or not."""
        found = []
        for i, (latents, known) in enumerate(zip(self.latents, self.samples, strict=True)):
            own = list(latents.values()) + ([self.single[i]] if i in self.single else [])
            found.append(own + [one for some in known.values() for one in some if samples])
        return found

    def _refine(self, chosen: Sequence[CodedModel], allocation: Allocation, samples: bool) -> bool:
        """Code neighbours of what was chosen; False where there is none to be coded."""
        left = allocation.budget - allocation.size(chosen)
        if left < 0:
            return self._add_coarsest()
        filled = len(chosen) > FEW_MODELS or left <= (1.0 - FILLED) * allocation.budget
        spare = 0.0 if filled else 8.0 * left
        near: dict[int, dict[int, int]] = {1: {}, -1: {}}
        errors: dict[int, float] = {}
        for i, model in enumerate(chosen):
            error = self._error_beside(i, model.bits + spare, RATIO if filled else FINE_RATIO)
            if samples and error is not None:
                errors[i] = error
            if model.exact is not None or i in self.single:
                continue
            beside = {way: self._step_beside(i, model.base, way) for way in near}
            for way, step in beside.items():
                if step is not None:
                    near[way][i] = step
        self._add_latents(near[1])
        self._add_latents(near[-1])
        for i, error in errors.items():
            assert self.candidates.samples is not None
            self.samples[i][error] = self.candidates.samples.of_error(i, error)
        return bool(near[1] or near[-1] or errors)

    def _add_latents(self, steps: Mapping[int, int]) -> None:
        if not steps:
            return
        for i, model in self.candidates.latents(steps, self.tile).items():
            self.latents[i][model.base] = model

    def _add_coarsest(self) -> bool:
        """Code all models coarser, and at last as one tile; False where they are already."""
        coarsest = {i: min(own) for i, own in enumerate(self.latents)}
        steps = {i: max(0, step - BEYOND_STEPS) for i, step in coarsest.items() if step > 0}
        if steps:
            self._add_latents(steps)
            return True
        tiled = [i for i in coarsest if self.candidates.tiling(i, self.tile).tiles > 1]
        if not tiled or self.single:
            return False
        largest = max(max(self.candidates.source.models[i].shape) for i in tiled)
        self.single = self.candidates.latents(dict.fromkeys(tiled, 0), largest)
        return True

    def _step_beside(self, i: int, step: int, way: int) -> int | None:
        """A step of model i not known yet that is finer (`way` 1) or coarser (-1) than the chosen
        one: halfway to the next known one, or beyond all.
        """
        farther = [way * (known - step) for known in self.latents[i] if way * (known - step) > 0]
        if not farther:
            found = min(max(step + way * BEYOND_STEPS, 0), self.candidates.fitter.last_step)
            return None if found == step else found
        return step + way * (min(farther) // 2) if min(farther) > self.spacing else None

    def _error_beside(self, i: int, bits: float, ratio: float) -> float | None:
        """An error of which model i's samples may take about so many bits; None where no two that
        are known lie so far apart.
        """
        known = {error: min(m.bits for m in own) for error, own in self.samples[i].items()}
        dear = max((error for error, length in known.items() if length > bits), default=None)
        cheap = min((error for error, length in known.items() if length <= bits), default=None)
        if dear is None:
            return None
        finer = max(dear, LEAST_ERROR_M_S)
        if cheap is None:
            return 2.0 * finer
        return (finer * cheap) ** 0.5 if cheap > ratio * finer else None


def _operating_point(candidates: Candidates, rate: float) -> tuple[int, int]:
    """The tile size of the best quality at a rate in bits per model, and the step that takes it,
    judged by some of the models.
    """
    count = len(candidates)
    some = np.linspace(0, count - 1, min(SAMPLE_MODELS, count)).round().astype(int).tolist()
    sizes = [tile for tile, _ in _tile_sizes(candidates, some)]
    best, step = (-inf, sizes[0], 0), candidates.fitter.base_step
    for tile in sizes:
        tiles = float(np.mean([candidates.tiling(i, tile).tiles for i in some]))
        if rate > MANY_BITS * tiles and tile != sizes[-1]:
            continue
        quality, step = _finest_within(candidates, some, tile, rate, step)
        if quality <= best[0]:
            break
        best = quality, tile, step
        if rate <= FEW_BITS * tiles:
            break
    return best[1:]


def _finest_within(
    candidates: Candidates, some: list[int], tile: int, rate: float, first: int
) -> tuple[float, int]:
    """The mean PSNR of these models at about the finest step whose mean rate is within `rate` bits,
    and the step: of those tried the finest within it, or else the one that exceeds it least.
    """
    search = Crossing(rate, first, candidates.fitter.last_step, STEP_RATE * rate)
    found, least = (0.0, 0), inf
    for _ in range(TRIALS):
        step = search.next
        if step is None:
            break
        latents = candidates.estimated(dict.fromkeys(some, step), tile).values()
        mean = float(np.mean([each.bits for each in latents]))
        search.add(step, mean)
        if mean <= rate or rate < mean < least:
            found = float(np.mean([psnr_of_mse(each.mse) for each in latents])), step
        least = min(least, mean)
    return found
