"""Settings of a recipe to JSON's plain values and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from velcodec.train.own import OwnData

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def to_plain(recipe: DataclassInstance) -> dict[str, Any]:
    """The settings as JSON keeps them."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return plain


def from_plain(kind: type[DataclassInstance], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for a recipe of `kind` from what `to_plain` gave; only settings that it has."""
    known = {f.name for f in fields(kind)}
    found: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in stored.items()
        if name in known
    }
    if own := stored.get("own"):
        found["own"] = OwnData(tuple(own["names"]), own["sha256"], own["generated"])
    return found
