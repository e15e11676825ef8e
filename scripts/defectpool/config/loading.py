"""Loading of the configuration: checked, with one line for each mistake."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr
from typing import Any

from pydantic import BaseModel, ValidationError

from defectpool.config.campaign import Config
from defectpool.config.renamed import RENAMED, renamed
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
    "model_attributes_type": "must be a section of keys",
    "model_type": "must be a section of keys",
    "string_pattern_mismatch": "must have the form {pattern}",
    "string_type": "must be text",
    "missing": "is missing",
    "too_long": "must have at most {max_length} entries",
    "tuple_type": "must be a pair",
    "too_short": "must have at least {min_length} entry",
    "value_error": "{error}",
}


# A message that begins with the key that it is about.
_NAMES_KEY = re.compile(r"((?:[a-z_]+\.)+[a-z_0-9]+) (.*)")

# Values in a file. A few lines of nested aliases can stand for billions.
MAX_VALUES = 1_000_000

# A value in a message, shortened.
_REPR = Repr()
_REPR.maxlevel, _REPR.maxlist, _REPR.maxdict, _REPR.maxstring = 2, 3, 3, 60


def load(
    raw: Mapping[str, Any],
    files: Sequence[str | Path] = (),
    typed: Mapping[str, Any] | None = None,
) -> Config:
    """Check a configuration as read from YAML.

    Parameters
    ----------
    raw
        Sections and keys.
    files
        Files that it was read from, in order, so that a mistake is named with its line.
    typed
        Sections and keys that were given on the command line (`--config`).

    Raises
    ------
    DefectpoolError
        Lists every key that is unknown, doubled or has an impossible value.
    """
    lines: dict[Key, str] = {}
    for file in files:
        lines |= _with_old_names(lines_of(Path(file)))
    lines |= dict(_keys(typed or {}, ()))
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
        The file is missing, a key stands twice in a section, or it is no YAML with keys.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            text = text.replace("\t", " ")  # JSON may be indented by tabs
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        too_large = node is not None and _size(node, {}) > MAX_VALUES
        if not too_large:
            yaml.safe_load(text)  # values that cannot be, such as a number of 5,000 digits
    except OSError as error:
        raise DefectpoolError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DefectpoolError(
            f"{path}:{line}: byte {error.start} is not UTF-8; save the file in UTF-8"
        ) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise DefectpoolError(f"{path}:{line}: {error.problem}; correct the YAML there") from None
    except (yaml.YAMLError, ValueError) as error:  # a control character, a date that is none
        reason = str(error).splitlines()[0]
        raise DefectpoolError(f"{path}: {reason}; correct the YAML") from None
    except RecursionError:
        raise DefectpoolError(f"{path}: lists are nested too deeply; correct the YAML") from None
    if too_large:
        raise DefectpoolError(
            f"{path}: its aliases (&, *) stand for more than {MAX_VALUES} values; write them out"
        )
    if not isinstance(node, yaml.MappingNode):
        what = "a list" if isinstance(node, yaml.SequenceNode) else "text" if node else "empty"
        raise DefectpoolError(f"{path}: must be sections of keys, such as training, but is {what}")
    return dict(_lines(node, (), path))


def _size(node: Any, known: dict[int, float]) -> float:
    """Count the values that a node stands for, aliases written out; infinite if it holds itself."""
    import yaml

    if id(node) not in known:
        known[id(node)] = float("inf")
        members = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            members = [part for pair in members for part in pair]
        known[id(node)] = 1 + sum(_size(member, known) for member in members)
    return known[id(node)]


def _with_old_names(lines: dict[Key, str]) -> dict[Key, str]:
    """Name the lines of renamed keys by their present names, too.

    Raises
    ------
    DefectpoolError
        A file gives a key by both names.
    """
    for old, (new, _) in RENAMED.items():
        before, now = tuple(old.split(".")), tuple(new.split("."))
        if before in lines and now in lines:
            raise DefectpoolError(
                f"{lines[before]}: {old} is the old name of {new}, which {lines[now]} gives as "
                "well; keep the new one"
            )
        if before in lines:
            lines |= {
                (*now, *key[len(before) :]): line
                for key, line in list(lines.items())
                if key[: len(before)] == before
            }
    return lines


def check_file(path: str | Path) -> str:
    """Say why a file can be no configuration, whatever its keys are; empty if it may be one."""
    try:
        lines_of(Path(path))
    except DefectpoolError as error:
        return str(error)
    return ""


def _lines(node: Any, key: Key, path: Path) -> Iterable[tuple[Key, str]]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for name, value in node.value:
            line, word = name.start_mark.line + 1, str(name.value)
            if word in first:
                where = ".".join(map(str, (*key, word)))
                raise DefectpoolError(
                    f"{path}:{line}: {where} is given twice, first in line {first[word]}; "
                    "keep one of them"
                )
            first[word] = line
            yield (*key, word), f"{path}:{line}"
            yield from _lines(value, (*key, word), path)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*key, number), f"{path}:{value.start_mark.line + 1}"
            yield from _lines(value, (*key, number), path)


def _keys(values: Mapping[str, Any], key: Key) -> Iterable[tuple[Key, str]]:
    """Keys that were given on the command line."""
    for name, value in values.items():
        yield (*key, name), "--config"
        if isinstance(value, dict):
            yield from _keys(value, (*key, name))


def _mistakes(error: ValidationError, lines: Mapping[Key, str]) -> list[str]:
    """One line for each key with a mistake."""
    found: dict[Key, tuple[list[str], Any, bool]] = {}
    for problem in error.errors():
        key, unknown = _key(problem["loc"]), problem["type"] in ("extra_forbidden", "invalid_key")
        if problem["type"] == "invalid_key":  # no text, such as 1 or true
            key = (*_key(problem["loc"][:-1]), str(problem["input"]).lower())
        message = _unknown(key) if unknown else _message(problem)
        if names := _NAMES_KEY.match(message):  # a check of several keys names the one to change
            key, message = tuple(names[1].split(".")), names[2]
        messages, *_ = found.setdefault(key, ([], problem["input"], unknown))
        messages.append(message)
    # An entry of a list says more than that the list is none of some words.
    inner = {key[:n] for key in found for n in range(len(key)) if isinstance(key[n], int)}
    return [_line(key, *one, lines) for key, one in found.items() if key not in inner]


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
    if value is None:
        return "nothing"
    try:
        text = _REPR.repr(value)
    except ValueError:  # a whole number of 5,000 digits
        return "a huge number"
    return text if len(text) <= 80 else f"{text[:80]}..."


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
