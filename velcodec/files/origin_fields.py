"""Fields that say where a model came from: file, array (if arrays have names) and row. Rows show
where one file ends and another of the same name begins.
"""

FILE_FIELD, ARRAY_FIELD, ROW_FIELD = "file", "array", "row"
