"""Experimental: waveform inversion in the latent space, with a comparison on the grid as a guard.

    from velcodec.fwi import Acquisition, invert

`invert` takes any differentiable forward model; `Acquisition` needs the `fwi` extra (deepwave).
"""

from velcodec.formats.extras import torch_for

with torch_for("velcodec.fwi"):
    from velcodec.fwi.acquisition import Acquisition
    from velcodec.fwi.inversion import Inversion, Step, invert

__all__ = ["Acquisition", "Inversion", "Step", "invert"]
