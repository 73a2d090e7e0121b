"""Getting out of a damaged archive every record that is intact.

Sections prove themselves by their checksums wherever they stand (`parts`), pages say which
records there should be (`paged`), and records tell by theirs what number they have: what no page
leads to is found by walking from record to record (`walked`). Bytes in, records out: nothing here
knows models, or changes a file.
"""

from velcodec.formats.container.salvage.archive import Salvage, salvage
from velcodec.formats.container.salvage.found import Bytes, Found

__all__ = ["Bytes", "Found", "Salvage", "salvage"]
