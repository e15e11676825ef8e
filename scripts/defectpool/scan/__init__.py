"""Point defects in structures of one's own, found without a pristine reference.

`scan`, which is also what calling this module does, takes files and structures and yields a
`Result` for each; `defectpool scan` is the same on the command line. Nothing here knows of
Snakemake.
"""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from defectpool.scan.result import Limits, Result
from defectpool.scan.run import annotate, scan


class _Callable(ModuleType):
    """Makes `defectpool.scan(structures)` mean `defectpool.scan.scan(structures)`."""

    def __call__(self, structures: Any, **options: Any) -> Iterator[Result]:
        return scan(structures, **options)


sys.modules[__name__].__class__ = _Callable

__all__ = ["Limits", "Result", "annotate", "scan"]
