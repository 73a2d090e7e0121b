"""The `.vlat` container: records, sections, header, directory, index, shards, salvage."""
