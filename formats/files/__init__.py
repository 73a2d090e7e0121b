"""Files of models in other formats than velcodec's own, read and written in one way.

`open_models` reads a file, a folder or a pattern, a few models at a time. `open_sink` and
`open_folder_sink` write block by block. Each format has a module; `table` lists them.
"""

from velcodec.formats.files.base import Models, Part, first_of
from velcodec.formats.files.form import Form, Ground
from velcodec.formats.files.opening import open_models
from velcodec.formats.files.sinks import Sink
from velcodec.formats.files.table import FORMATS, told_format
from velcodec.formats.files.writing import ARRAY, open_folder_sink, open_sink, split_files

__all__ = [
    "ARRAY",
    "FORMATS",
    "Form",
    "Ground",
    "Models",
    "Part",
    "Sink",
    "first_of",
    "open_folder_sink",
    "open_models",
    "open_sink",
    "split_files",
    "told_format",
]
