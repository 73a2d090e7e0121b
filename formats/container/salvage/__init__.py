"""Find every intact record of a damaged archive.

Sections are found anywhere by their checksums (`sections`). Pages say which blocks of records there
should be (`by_page`). Blocks that no page leads to are found by walking from one to the next
(`by_walk`): their checksums give their numbers. Bytes in, records out; nothing here knows models or
changes a file.
"""

from velcodec.formats.container.salvage.archive import Salvage, salvage
from velcodec.formats.container.salvage.found import Bytes, Found

__all__ = ["Bytes", "Found", "Salvage", "salvage"]
