"""Digest of the code that a result depends on.

A touched file, a comment or a docstring changes no result; a line of code may. So the digest is
taken of the parsed code of a script and of every module of this package that it imports, directly
or not, with docstrings left out, and of the data files that those modules name. Of the functions
that a module registers (poolings, convolutions) only the chosen one counts, with what it calls.
"""

import ast
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from defectpool.runtime import registry

PACKAGE = Path(__file__).parents[1]

# They do not change a result: the config's values enter a job one by one, and the others only
# decide how something is reported, written or waited for.
NEUTRAL = frozenset(
    {
        "campaign",
        "config",
        "errors",
        "runtime.atomic_write",
        "runtime.job_log",
        "runtime.lease",
        "runtime.memory",
        "runtime.registry",
        "runtime.run_record",
        "runtime.signals",
        "training.progress",
    }
)


DATA = (".csv", ".html", ".js", ".json", ".yaml")


def digest(script: Path, **chosen: str) -> str:
    """Digest of a script and of all the science that it imports.

    Parameters
    ----------
    script
        A Python file that imports modules of this package.
    chosen
        Decorator of registered functions and the name of the chosen one, such as `pooling="max"`
        or `pooling="my_poolings.py:mine"`. By default all of them count.

    Returns
    -------
    str
        16 hexadecimal characters: the same for the same code, whatever its comments and times.
    """
    paths: dict[str, Path] = {}
    _follow(script, paths)
    words = tuple(sorted((key, registry.label(name).lower()) for key, name in chosen.items()))
    codes = [_code(paths[name], words) for name in sorted(paths)]
    codes += [_code(path) for name in chosen.values() if (path := registry.file_of(name))]
    return hashlib.sha256("\n".join(codes).encode()).hexdigest()[:16]


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
def _code(path: Path, chosen: tuple[tuple[str, str], ...] = ()) -> str:
    """Return the code of a file without comments and docstrings, and the data that it names."""
    tree = ast.parse(ast.unparse(_tree(path)))
    tree.body = _relevant(tree.body, dict(chosen))
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


def _relevant(body: list[ast.stmt], chosen: Mapping[str, str]) -> list[ast.stmt]:
    """Leave out registered functions that are not chosen, and what they alone refer to."""
    dropped = [node for node in body if _registered_name(node, chosen) not in (None, "")]
    kept = [node for node in body if node not in dropped]
    while dropped:
        used = {name for node in kept for name in _references(node)}
        freed = {name for node in dropped for name in _references(node)} - used
        more = [node for node in kept if _defines(node) and _defines(node) <= freed]
        if not more:
            break
        dropped, kept = dropped + more, [node for node in kept if node not in more]
    return kept


def _registered_name(node: ast.stmt, chosen: Mapping[str, str]) -> str | None:
    """Name under which a statement registers a function that is not chosen; empty if it is."""
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return None
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Name) and decorator.id in chosen:
            name = node.name.lower()
            return "" if name == chosen[decorator.id] else name
    return None


def _references(node: ast.stmt) -> set[str]:
    """Names that a statement refers to, other than its own."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - _defines(node)


def _defines(node: ast.stmt) -> set[str]:
    """Names that a statement at the top of a module defines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}
