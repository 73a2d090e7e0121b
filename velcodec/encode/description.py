"""What the caller says of models, and an array does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from velcodec.formats.container.header import Layout
from velcodec.formats.errors import OptionError
from velcodec.formats.facts import Facts, checked_facts
from velcodec.formats.files.form import Ground
from velcodec.formats.files.npy import check_order
from velcodec.formats.no_data import NoData

MOST_METRES = 1e12


@dataclass(frozen=True)
class Description:
    """What an array does not say about itself; stored with the models.

    `dx`, `dz` and `origin` (x, z) are in metres: 10, 10 and (0, 0) if neither they nor the array
    say otherwise. `units` is m/s or km/s, or None for m/s unless the values speak against it.
    `order` of the last two axes is zx (if not stated) or xz. With `volume` models have three axes,
    in the order zyx or any other of these, and `dy` and `origin_y` along y. `keys` has
    one key for each model, or is None to use their numbers. `facts` holds for all models: a
    mapping with names of `velcodec.formats.facts.Facts`, such as crs, vertical, doi; `provenance`
    and `licence` are two of them. `user` is any JSON-like mapping, `source_sha256` the hash of the
    file that the models came from.
    `fields` are columns by name: one value for all models, or one for each. `mask` is the value of
    absent samples, nan or a number.
    """

    dx: float | None = None
    dz: float | None = None
    origin: tuple[float, float] | None = None
    units: str | None = None
    order: str | None = None
    keys: Sequence[str] | None = None
    provenance: str = ""
    licence: str = ""
    user: Mapping[str, Any] = field(default_factory=dict)
    source_sha256: bytes | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    mask: NoData | None = None
    volume: bool = False
    dy: float | None = None
    origin_y: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def stated_facts(self) -> Facts:
        """The facts, each in its usual form. Raises OptionError."""
        given = dict(self.facts)
        for name, text in (("provenance", self.provenance), ("licence", self.licence)):
            if text and given.get(name) not in (None, text):
                raise OptionError(f"{name}: found {given[name]!r} and {text!r}, expected one")
            if text:
                given[name] = text
        return checked_facts(given)

    def stated_ground(self) -> Ground:
        """Spacing and origin in metres, where they are stated."""
        x, z = (None, None) if self.origin is None else self.origin
        return Ground(self.dx, self.dz, x, z, self.dy, self.origin_y)

    def on(self, ground: Ground) -> Description:
        """The description with the spacing and origin of `ground` where it states them."""

        def either(name: str) -> float | None:
            found: float | None = getattr(ground, name)
            own: float | None = getattr(stated, name)
            return own if found is None else found

        stated = self.stated_ground()
        x, z = either("origin_x_m"), either("origin_z_m")
        return replace(
            self,
            dx=either("dx_m"),
            dz=either("dz_m"),
            dy=either("dy_m"),
            origin=None if x is z is None else (x or 0.0, z or 0.0),
            origin_y=either("origin_y_m"),
        )

    def like(self, layouts: Sequence[Layout]) -> Description:
        """The description with the spacing and origin of these layouts where it states none and
        they all have the same.
        """
        changes: dict[str, Any] = {}
        across = [layout for layout in layouts if layout.is_volume] if self.volume else []
        for name, some in (("dx", layouts), ("dz", layouts), ("dy", across), ("origin_y", across)):
            found = {getattr(layout, f"{name}_m") for layout in some}
            if getattr(self, name) is None and len(found) == 1:
                changes[name] = found.pop()
        origins = {(layout.origin_x_m, layout.origin_z_m) for layout in layouts}
        if self.origin is None and len(origins) == 1:
            changes["origin"] = origins.pop()
        return replace(self, **changes)

    def placed(self, layout: Layout) -> Layout:
        """A layout with the spacing and origin that are stated, and the defaults of others."""
        stated = vars(self.stated_ground()).items()
        along_y = layout.is_volume
        known: dict[str, Any] = {
            name: float(metres)
            for name, metres in stated
            if metres is not None and (along_y or "y" not in name)
        }
        return replace(layout, **known)

    @property
    def axis_order(self) -> str:
        """The order of the spatial axes: `order`, or zx, zyx of volumes, where it says nothing."""
        return self.order or ("zyx" if self.volume else "zx")


def check_geometry(description: Description) -> None:
    """Raise OptionError unless spacing is positive, every length finite and below 1e12 m, and an
    order of volumes of three axes.
    """
    if description.volume and description.order is not None:
        check_order(description.order, True)
    for name in ("dx", "dz", "dy"):
        metres = getattr(description, name)
        if metres is not None and not 0 < metres < MOST_METRES:
            raise OptionError(f"{name}: expected a positive number of metres, found {metres}")
    origin, along_y = description.origin, description.origin_y
    if origin is not None and not (
        len(origin) == 2 and all(abs(metres) < MOST_METRES for metres in origin)
    ):
        raise OptionError(f"origin: expected (x, z) in metres, found {origin}")
    if along_y is not None and not abs(along_y) < MOST_METRES:
        raise OptionError(f"origin_y: expected metres, found {along_y}")
