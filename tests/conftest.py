"""Fixtures that more than one test file uses."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep together what shares a cluster or a finished campaign when workers share the tests."""
    folder = item.path.parent
    together = folder if folder.name in ("slurm", "workflow", "report") else item.path
    item.add_marker(pytest.mark.xdist_group(str(together.relative_to(ROOT))))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real C2DB data, which is not part of the project."""
    folder = Path(os.environ.get("DEFECTPOOL_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no C2DB data at {folder} (set DEFECTPOOL_SHARED)")
    return folder


@pytest.fixture(scope="session")
def c2db(shared_data: Path) -> Path:
    """Return an ASE database of C2DB."""
    return shared_data / "c2db" / "c2db.db"
