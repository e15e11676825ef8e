"""Fixtures that more than one test file uses."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Folders that take minutes; they come first.
LONG = ("slurm", "workflow", "report")
# These files share a finished campaign.
FINISHED = ("test_front_door.py", "test_readme.py", "test_reruns.py")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
# Headless, in a container, drawing in software, and silent by itself.
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


def group(path: Path) -> str:
    """Return the name of the group of tests that one worker runs."""
    return "finished campaign" if path.name in FINISHED else f"{path.parent.name}/{path.name}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give each group to one worker; the groups of `--dist loadgroup` need a pytest before 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(Path(nodeid.partition("::")[0]))

    return GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    places = {folder: place for place, folder in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.parent.name, len(LONG)))


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


@pytest.fixture(scope="module")
def browser():
    """Return a headless browser; a second one beside it in a process is refused by Playwright."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()
