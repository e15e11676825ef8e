"""Loading of the configuration: checked, with one line for each mistake."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from defectpool.config.campaign import Config
from defectpool.config.renamed import renamed
from defectpool.errors import DefectpoolError

Key = tuple[str | int, ...]

# What pydantic calls a mistake, in words of the configuration.
MESSAGES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a section of keys",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller whole number",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be one of {expected}",
    "model_type": "must be a section of keys",
    "string_pattern_mismatch": "must have the form {pattern}",
    "string_type": "must be text",
    "too_short": "must have at least {min_length} entry",
    "value_error": "{error}",
}


def load(raw: Mapping[str, Any], files: Sequence[str | Path] = ()) -> Config:
    """Check a configuration as read from YAML.

    Parameters
    ----------
    raw
        Sections and keys.
    files
        Files that it was read from, in order, so that a mistake is named with its line.

    Raises
    ------
    DefectpoolError
        Lists every key that is unknown, doubled or has an impossible value.
    """
    lines: dict[Key, str] = {}
    for file in files:
        lines |= lines_of(Path(file))
    values, warnings = renamed(dict(raw))
    for warning in warnings:
        print(f"config: {warning}", file=sys.stderr)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        found = "\n  ".join(_mistakes(error, lines))
        raise DefectpoolError(f"the configuration cannot be used:\n  {found}") from None


def lines_of(path: Path) -> dict[Key, str]:
    """Lines of the keys of a YAML file, as "file:line".

    Raises
    ------
    DefectpoolError
        A key stands twice in a section, or the file is no YAML.
    """
    import yaml

    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise DefectpoolError(
            f"{path}: byte {error.start} is not UTF-8; save the file in UTF-8"
        ) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise DefectpoolError(f"{path}:{line}: {error.problem}; correct the YAML there") from None
    return dict(_lines(node, (), path))


def _lines(node: Any, key: Key, path: Path) -> Iterable[tuple[Key, str]]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for name, value in node.value:
            line = name.start_mark.line + 1
            if name.value in seen:
                where = ".".join(map(str, (*key, name.value)))
                raise DefectpoolError(
                    f"{path}:{line}: {where} is given twice, first in line {seen[name.value]}; "
                    "keep one of them"
                )
            seen[name.value] = line
            yield (*key, name.value), f"{path}:{line}"
            yield from _lines(value, (*key, name.value), path)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*key, number), f"{path}:{value.start_mark.line + 1}"
            yield from _lines(value, (*key, number), path)


def _mistakes(error: ValidationError, lines: Mapping[Key, str]) -> list[str]:
    """One line for each key with a mistake."""
    found: dict[Key, tuple[list[str], Any, bool]] = {}
    for problem in error.errors():
        key, unknown = _key(problem["loc"]), problem["type"] == "extra_forbidden"
        messages, *_ = found.setdefault(key, ([], problem["input"], unknown))
        messages.append(_unknown(key) if unknown else _message(problem))
    return [_line(key, *one, lines) for key, one in found.items()]


def _line(
    key: Key, messages: list[str], value: Any, unknown: bool, lines: Mapping[Key, str]
) -> str:
    where = next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), "")
    name = ".".join(map(str, key)) or "config"
    text = ", or ".join(dict.fromkeys(messages))
    if not unknown and not isinstance(value, (dict, BaseModel)):
        text += f" (got {_short(value)})"
        text += f": {about}" if (about := _description(key)) else ""
    return f"{where}: {name}: {text}" if where else f"{name}: {text}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _message(problem: Any) -> str:
    context = problem.get("ctx", {})
    template = MESSAGES.get(problem["type"])
    if template is None:
        return str(problem["msg"])
    text = template.format(**context)
    if problem["type"] == "literal_error" and isinstance(problem["input"], str):
        text = text.replace("'", "").replace(" or ", ", ")
        text += _did_you_mean(problem["input"], text.removeprefix("must be one of ").split(", "))
    return text


def _unknown(key: Key) -> str:
    section = _section(key[:-1])
    hint = _did_you_mean(str(key[-1]), list(section.model_fields) if section else [])
    return f"unknown key{hint or '; config/README.md lists the known ones'}"


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _section(key: Key) -> type[BaseModel] | None:
    """Section that a key names; None if it names none."""
    found: Any = Config
    for part in key:
        field = found.model_fields.get(part) if isinstance(part, str) else None
        found = field.annotation if field else None
        if not (isinstance(found, type) and issubclass(found, BaseModel)):
            return None
    return found


def _key(location: Key) -> Key:
    """Key of a mistake, without the names that pydantic gives to the members of a union."""
    found: list[str | int] = []
    for part in location:
        section = _section(tuple(found))
        if section is None and not isinstance(part, int):
            continue
        found.append(part)
    return tuple(found)


def _description(key: Key) -> str:
    """What a key means, with its bounds and their reason."""
    words = tuple(part for part in key if isinstance(part, str))
    section = _section(words[:-1]) if words else None
    field = section.model_fields.get(words[-1]) if section else None
    return field.description or "" if field else ""
