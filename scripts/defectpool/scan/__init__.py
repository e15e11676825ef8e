"""Point defects in structures of one's own, found without a pristine reference.

`scan` takes files and structures and yields a `Result` for each; `defectpool scan` is the same on
the command line. Nothing here knows of Snakemake.
"""

from defectpool.scan.result import Limits, Result
from defectpool.scan.run import annotate, scan

__all__ = ["Limits", "Result", "annotate", "scan"]
