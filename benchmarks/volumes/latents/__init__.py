"""Do latents pay for volumes? An experiment; docs/notes/volume-latents.md has its result."""
