"""The decoder as a parametrisation: models as differentiable functions of their latents."""

from velcodec.field.field import Field
from velcodec.field.interpolate import interpolate

__all__ = ["Field", "interpolate"]
