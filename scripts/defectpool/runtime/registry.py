"""Registry of functions by name: those that a module registers, and one in a file of the user's.

A name is either a word, such as `max`, or a file and a function, such as `my_poolings.py:mine`.
"""

import ast
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from defectpool.errors import DefectpoolError

IN_FILE = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")


def label(name: str) -> str:
    """Return the word that stands for a name in folders and tables."""
    return name.rpartition(":")[2]


def file_of(name: str) -> Path | None:
    """Return the file that a name points to; None for a word."""
    found = IN_FILE.fullmatch(name)
    return Path(found["path"]) if found else None


def registered(module: Path, decorator: str) -> list[str]:
    """Names that a module registers, without importing it.

    Parameters
    ----------
    module
        Python file.
    decorator
        Name of the decorator that registers functions or classes, by their names in lower case.
    """
    tree = ast.parse(module.read_text(encoding="utf-8"), filename=str(module))
    return [
        node.name.lower()
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and any(isinstance(d, ast.Name) and d.id == decorator for d in node.decorator_list)
    ]


def missing(name: str) -> str:
    """Say what a file and a function lack, without importing the file; empty if nothing."""
    path = file_of(name)
    if path is None:
        return ""
    if not path.is_file():
        return f"there is no file {path}"
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, ValueError) as error:
        return f"{path} is no Python ({error})"
    except OSError as error:
        return f"{path}: {(error.strerror or str(error)).lower()}"
    defined = {getattr(node, "name", None) or getattr(node, "id", None) for node in ast.walk(tree)}
    return "" if label(name) in defined else f"{path} defines no function {label(name)}"


def find(name: str, known: Mapping[str, Any], what: str) -> Any:
    """Return what a name stands for.

    Parameters
    ----------
    name
        A key of `known`, or a file and a function in it.
    known
        What is registered.
    what
        What is looked for ("pooling"), for the message.

    Raises
    ------
    DefectpoolError
        The name is unknown, or its file is missing, fails, or has no such function.
    """
    path = file_of(name)
    if path is None:
        if name not in known:
            raise DefectpoolError(
                f"{what} {name!r} is unknown: choose from {', '.join(known)}, or give a file and "
                "a function, such as my_file.py:my_function"
            )
        return known[name]
    module = _import(path, what)
    if not callable(found := getattr(module, label(name), None)):
        raise DefectpoolError(f"{what} {name!r}: {path} defines no function {label(name)}")
    return found


def _import(path: Path, what: str) -> Any:
    if not path.is_file():
        raise DefectpoolError(f"{what}: there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise DefectpoolError(f"{what}: {path} cannot be imported: {error!r}") from error
    return module
