"""Parquet, with page checksums verified where the file has them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from autoopt.errors import DataError
from autoopt.task.table import Table, from_arrow

_SAVED_INDEX = "__index_level_"


def read_parquet(path: Path) -> Table:
    """A Parquet file. Raises DataError where it cannot be read."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            arrow = file.read()
        arrow.validate(full=True)  # offsets within bounds, texts UTF-8
        index = [n for n in arrow.column_names if n.startswith(_SAVED_INDEX)]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is not a whole Parquet file: {reason}", "Write or fetch it again.") from None
    warnings = (f"The saved pandas index ({', '.join(index)}) is left out.",) if index else ()
    return from_arrow(path.name, arrow.drop_columns(index) if index else arrow, warnings=warnings)
