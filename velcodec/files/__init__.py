"""Files of models to archives and back, in bounded memory, resumable, on many machines."""
