"""Gather the pages of the repository, what they link to, and pages for the docstrings.

`make docs` calls it before MkDocs. Usage: gather_pages.py FOLDER
"""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "scripts" / "defectpool"
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
# Room for the tables.
STYLE = ".md-grid { max-width: 76rem; }\n"


def pages() -> list[Path]:
    """Return the pages that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [ROOT / name for name in listed.stdout.splitlines()]
    return [path for path in found if path.is_file() and not path.is_relative_to(ROOT / ".github")]


def summary(path: Path) -> str:
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def copy_pages(folder: Path) -> None:
    """Copy every page, and every file that a page links to."""
    wanted = set(pages())
    for page in pages():
        links = LINK.findall(page.read_text(encoding="utf-8"))
        linked = [(page.parent / link).resolve() for link in links]
        wanted.update(path for path in linked if path.is_file())
    for path in wanted:
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    (folder / "style.css").write_text(STYLE, encoding="utf-8")


def write_api(folder: Path) -> None:
    """Write a page for the public names and one for each room and module of the package."""
    folder.mkdir(parents=True)
    modules = [path for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")]
    rooms = sorted([*modules, *(path.parent for path in PACKAGE.glob("*/__init__.py"))])
    lines = [
        "# API",
        "",
        "The names on this page are the public interface of `defectpool`. What is on the pages "
        "below can change in any release.",
        "",
        "::: defectpool",
        "    options:",
        "        show_root_heading: false",
        "        show_root_toc_entry: false",
        "        show_submodules: false",
        "        members: []",
        "",
    ]
    for name in public_names():
        lines += [f"::: {name}", ""]
    lines += ["## Rooms of the library", "", "| module | content |", "|---|---|"]
    for room in rooms:
        source = room / "__init__.py" if room.is_dir() else room
        lines.append(f"| [`{room.stem}`]({room.stem}.md) | {summary(source)} |")
        page = f"# {room.stem}\n\n::: defectpool.{room.stem}\n    options:\n"
        page += "        show_root_heading: false\n        show_root_toc_entry: false\n"
        (folder / f"{room.stem}.md").write_text(page, encoding="utf-8")
    (folder / "index.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def public_names() -> list[str]:
    """Return where each public name is defined."""
    sys.path.insert(0, str(PACKAGE.parent))
    import defectpool

    return [f"{module}.{name}" for name, module in sorted(defectpool._MODULES.items())]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    copy_pages(target)
    write_api(target / "api")
