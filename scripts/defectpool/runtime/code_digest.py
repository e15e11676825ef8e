"""Digest of the code that a result depends on.

A touched file, a comment or a docstring changes no result; a line of code may. So the digest is
taken of the parsed code of a script and of every module of this package that it imports, directly
or not, with docstrings left out, and of the data files that those modules name. Of the functions
that a module registers (poolings, convolutions) only the chosen one counts, with what it calls.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from defectpool.errors import DefectpoolError
from defectpool.runtime import registry
from defectpool.runtime.atomic_write import write_text

PACKAGE = Path(__file__).parents[1]

# They do not change a result: the config's values enter a job one by one, and the others only
# decide how something is reported, written or waited for.
NEUTRAL = frozenset(
    {
        "campaign",
        "config",
        "errors",
        "runtime.atomic_write",
        "runtime.disk",
        "runtime.job_log",
        "runtime.lease",
        "runtime.memory",
        "runtime.registry",
        "runtime.run_record",
        "runtime.signals",
        "training.progress",
    }
)


# Checksum of this file: what another version of it parsed is parsed again.
PARSER = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()

DATA = (".csv", ".html", ".js", ".json", ".yaml")


@dataclass(frozen=True)
class ParsedFile:
    """A Python file as a digest sees it.

    Attributes
    ----------
    imports
        Names below this package that it imports, wherever in the file it does so.
    code
        SHA-256 of its code without comments and docstrings.
    data
        Names of data files among its strings.
    """

    imports: tuple[str, ...]
    code: str
    data: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """Which registered functions count.

    Attributes
    ----------
    words
        Decorator, and the name of the chosen function in lower case.
    imported
        Names that the user's own files import from this package: these count, too.
    """

    words: Mapping[str, str]
    imported: frozenset[str]


def digest(script: Path, store: Path | None = None, **chosen: str) -> str:
    """Digest of a script and of all the science that it imports.

    Parameters
    ----------
    script
        A Python file that imports modules of this package.
    store
        JSON file that keeps what was parsed, by content: parsing takes seconds, and every job of
        a campaign asks for the same digests.
    chosen
        Decorator of registered functions and the name of the chosen one, such as `pooling="max"`
        or `pooling="my_poolings.py:mine"`. By default all of them count.

    Returns
    -------
    str
        16 hexadecimal characters: the same for the same code, whatever its comments and times.
    """
    known = _known(store)
    before = len(known)
    own = [path for name in chosen.values() if (path := registry.file_of(name))]
    parsed = [_parsed(path, Chosen({}, frozenset()), known) for path in own]
    imported = {name.rpartition(".")[2] for file in parsed for name in file.imports}
    words = {key: registry.label(name).lower() for key, name in chosen.items()}
    files: dict[Path, ParsedFile] = {}
    _follow(script, Chosen(words, frozenset(imported)), known, files)
    codes = [_code(path, files[path]) for path in sorted(files, key=_name)]
    codes += [_code(path, file) for path, file in zip(own, parsed, strict=True)]
    if store is not None and len(known) > before:
        _keep(known, store)
    return hashlib.sha256("\n".join(codes).encode()).hexdigest()[:16]


@cache
def _known(store: Path | None) -> dict[str, ParsedFile]:
    """Files that were parsed before, here or by another process, by the hash of their content."""
    if store is not None:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            kept = json.loads(store.read_text(encoding="utf-8"))
            return {
                key: ParsedFile(tuple(imports), code, tuple(data))
                for key, (imports, code, data) in kept.items()
            }
    return {}


def _keep(known: Mapping[str, ParsedFile], store: Path) -> None:
    """Write what was parsed; where nothing can be written, the next process parses again."""
    with suppress(DefectpoolError, OSError):
        lists = {key: list(asdict(file).values()) for key, file in sorted(known.items())}
        write_text(store, json.dumps(lists))


def _name(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent)) if path.is_relative_to(PACKAGE) else path.name


def _follow(
    path: Path,
    chosen: Chosen,
    known: dict[str, ParsedFile],
    files: dict[Path, ParsedFile],
) -> None:
    """Add a file, and those that it imports, directly or not."""
    if path in files:
        return
    files[path] = _parsed(path, chosen, known)
    for module in files[path].imports:
        for target in _files(module):
            _follow(target, chosen, known, files)


@cache
def _files(module: str) -> tuple[Path, ...]:
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
    return tuple(files)


@cache
def _content(path: Path) -> bytes:
    return path.read_bytes()


def _parsed(path: Path, chosen: Chosen, known: dict[str, ParsedFile]) -> ParsedFile:
    """Return a file as `known` has it, or parse it."""
    content = _content(path)
    words = {key: word for key, word in chosen.words.items() if f"@{key}".encode() in content}
    here = Chosen(words, chosen.imported if words else frozenset())
    salt = f"{PARSER} {sys.version_info[:2]} {words} {sorted(here.imported)}\n"
    key = hashlib.sha256(salt.encode() + content).hexdigest()
    if key not in known:
        known[key] = _parse(content, str(path), here)
    return known[key]


def _parse(content: bytes, name: str, chosen: Chosen) -> ParsedFile:
    """Parse a file; of what its decorators register only the chosen functions count."""
    tree = ast.parse(content, filename=name)
    imports = _imports(tree)
    tree.body = _relevant(tree.body, chosen)
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    strings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    code = hashlib.sha256(ast.unparse(tree).encode()).hexdigest()
    return ParsedFile(imports, code, tuple(sorted(s for s in strings if s.endswith(DATA))))


def _imports(tree: ast.Module) -> tuple[str, ...]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    prefix = PACKAGE.name + "."
    return tuple(sorted(name.removeprefix(prefix) for name in found if name.startswith(prefix)))


def _code(path: Path, file: ParsedFile) -> str:
    """Return the checksums of a file's code and of the data that it names."""
    data = [path.parent / name for name in file.data]
    sums = [hashlib.sha256(_content(one)).hexdigest() for one in data if one.is_file()]
    return "\n".join([file.code, *sums])


def _relevant(body: list[ast.stmt], chosen: Chosen) -> list[ast.stmt]:
    """Leave out registered functions that are not chosen, and what they alone refer to."""
    dropped = [node for node in body if _registered_name(node, chosen.words) not in (None, "")]
    kept = [node for node in body if node not in dropped]
    while dropped:
        used = chosen.imported.union(*map(_references, kept))
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
