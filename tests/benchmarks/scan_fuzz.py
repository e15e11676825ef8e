"""Scan of damaged files: none ends the run, none takes long or much memory.

Damages whole files of every format (cut, bytes and words changed, lines lost and doubled, two files
spliced), scans them, and prints how many were read, the slowest file and the largest process.

    python tests/benchmarks/scan_fuzz.py [--files 2000] [--seed 0]
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "unit")]

from scan_examples import FORMATS, contents, damaged, layer, rock_salt  # noqa: E402

from defectpool.scan.page import without_numbers  # noqa: E402
from defectpool.scan.result import Limits  # noqa: E402
from defectpool.scan.run import scan_files  # noqa: E402


def write_damaged(folder: Path, files: int, seed: int) -> list[Path]:
    """Write damaged files of every format, with the names of whole ones."""
    whole: list[bytes] = []
    for number, atoms in enumerate((rock_salt(), layer())):
        place = folder / f"whole{number}"
        place.mkdir()
        whole += contents(place, atoms)
    names = list(FORMATS)
    paths = []
    for number, content in enumerate(damaged(whole, files, seed)):
        paths.append(folder / f"{number:05d}_{names[number % len(names)]}")
        paths[-1].write_bytes(content)
    return paths


def largest_process() -> float:
    """Return the largest resident set of this process and those that it started, in MB."""
    sizes = [
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return max(sizes) * 1024 / 1e6


def fuzz(folder: Path, files: int, seed: int) -> dict[str, object]:
    """Scan damaged files; return what is printed."""
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    paths = write_damaged(folder, files, seed)
    begun = last = time.perf_counter()
    for result in scan_files(paths, Limits()):
        now = time.perf_counter()
        file = result.path.removeprefix(f"{folder}/").split("/")[0]  # of a member, its archive
        seconds[file] = seconds.get(file, 0.0) + now - last
        last = now
        verdicts[result.verdict] += 1
        if result.reason:
            reasons[without_numbers(result.reason)] += 1
    slowest = max(seconds, key=seconds.__getitem__)
    return {
        "files": len(paths),
        "files with a result": len(seconds),
        "structures": dict(verdicts),
        "seconds": round(last - begun, 1),
        "slowest file": f"{seconds[slowest]:.1f} s ({slowest})",
        "largest process": f"{largest_process():.0f} MB",
        "reasons": dict(reasons.most_common(25)),
    }


def main() -> None:
    """Scan and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="defectpool-") as folder:
        found = fuzz(Path(folder), chosen.files, chosen.seed)
    for key, value in found.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, count in value.items():
                print(f"  {count:6d}  {name}")
        else:
            print(f"{key}: {value}")


if __name__ == "__main__":
    main()
