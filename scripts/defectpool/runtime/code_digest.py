"""Digest of the code that a result depends on.

A touched file, a comment or a docstring changes no result; a line of code may. So the digest is
taken of the parsed code of a script and of every module of this package that it imports, directly
or not, with docstrings left out, and of the data files that those modules name.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]

# They carry no science: the config's values enter a job one by one, and the others only say how
# something is reported, written or waited for.
NEUTRAL = frozenset(
    {
        "campaign",
        "config",
        "errors",
        "runtime.atomic_write",
        "runtime.job_log",
        "runtime.lease",
        "runtime.memory",
        "runtime.run_record",
        "training.progress",
    }
)


DATA = (".csv", ".html", ".js", ".json", ".yaml")


def digest(script: Path) -> str:
    """Digest of a script and of all the science that it imports.

    Parameters
    ----------
    script
        A Python file that imports modules of this package.

    Returns
    -------
    str
        16 hexadecimal characters: the same for the same code, whatever its comments and times.
    """
    paths: dict[str, Path] = {}
    _follow(script, paths)
    return hashlib.sha256(
        "\n".join(_code(paths[name]) for name in sorted(paths)).encode()
    ).hexdigest()[:16]


def _follow(path: Path, paths: dict[str, Path]) -> None:
    name = str(path.relative_to(PACKAGE.parent)) if path.is_relative_to(PACKAGE) else path.name
    if name in paths:
        return
    paths[name] = path
    for module in _imports(path):
        for target in _files(module):
            _follow(target, paths)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Names below this package that a file imports, wherever in the file it does so."""
    found: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    prefix = PACKAGE.name + "."
    return tuple(sorted(name.removeprefix(prefix) for name in found if name.startswith(prefix)))


def _files(module: str) -> list[Path]:
    """Return the files that `import defectpool.<module>` runs, but for neutral ones."""
    parts = module.split(".")
    files = []
    for depth in range(1, len(parts) + 1):
        if ".".join(parts[:depth]) in NEUTRAL:
            break
        base = PACKAGE.joinpath(*parts[:depth])
        for candidate in (base / "__init__.py", base.with_suffix(".py")):
            if candidate.is_file():
                files.append(candidate)
    return files


@cache
def _code(path: Path) -> str:
    """Return the code of a file without comments and docstrings, and the data that it names."""
    tree = ast.parse(ast.unparse(_tree(path)))
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    strings = sorted(
        {
            n.value
            for n in ast.walk(tree)
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        }
    )
    data = [path.parent / s for s in strings if s.endswith(DATA)]
    sums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in data if file.is_file()]
    return "\n".join([ast.unparse(tree), *sums])
