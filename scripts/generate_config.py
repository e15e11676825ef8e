"""Write config/config.yaml, its JSON schema and the table of keys from the typed configuration.

With `--check`, write nothing and fail if a file has drifted from the types.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from defectpool.config import Config

CONFIG = Path(__file__).resolve().parents[1] / "config"
KEYS_BEGIN, KEYS_END = "<!-- keys: generated -->\n", "<!-- end of keys -->"
WIDTH = 96


def section(field: FieldInfo) -> type[BaseModel] | None:
    """Type of a group of keys; None for a plain key."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def default(field: FieldInfo) -> Any:
    """Return the default as YAML would hold it."""
    value = field.get_default(call_default_factory=True)
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def scalar(value: Any) -> str:
    """Return one line of YAML for a plain value."""
    if value is None:
        return ""
    return (
        json.dumps(value, ensure_ascii=False) if not isinstance(value, str) or not value else value
    )


def wrapped(text: str, indent: str) -> list[str]:
    """Comment lines no wider than WIDTH."""
    lines, line = [], indent + "#"
    for word in text.split():
        if len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = indent + "#"
        line += " " + word
    return [*lines, line]


def yaml_lines(model: type[BaseModel], indent: str = "") -> list[str]:
    """Return the commented defaults of a group of keys."""
    lines: list[str] = []
    for name, field in model.model_fields.items():
        inner = section(field)
        if inner:
            lines += ["", *wrapped((inner.__doc__ or "").strip(), indent), f"{indent}{name}:"]
            lines += yaml_lines(inner, indent + "  ")
        else:
            if not indent:
                lines.append("")
            lines += wrapped(field.description or "", indent)
            lines.append(f"{indent}{name}: {scalar(default(field))}".rstrip())
    return lines


def table_lines(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return rows of the table of keys."""
    rows: list[str] = []
    for name, field in model.model_fields.items():
        inner = section(field)
        if inner:
            rows += table_lines(inner, f"{prefix}{name}.")
        else:
            value = scalar(default(field))
            shown = f"`{value}`" if value else "(empty)"
            text = (field.description or "").replace("|", "\\|")
            rows.append(f"| `{prefix}{name}` | {shown} | {text} |")
    return rows


def contents() -> dict[Path, str]:
    """Return what each generated file should hold."""
    head = (
        "# defectpool: a campaign. These are the defaults, generated from the types in\n"
        "# scripts/defectpool/config.py; put your own values in a copy and pass it with\n"
        "# `snakemake --configfile my.yaml` (only the keys that differ). Explained in README.md.\n"
    )
    text = head + "\n".join(yaml_lines(Config)) + "\n"
    Config.model_validate(YAML(typ="safe", pure=True).load(text))
    schema = json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
    readme = (CONFIG / "README.md").read_text(encoding="utf-8")
    before, rest = readme.split(KEYS_BEGIN)
    _, after = rest.split(KEYS_END)
    keys = "\n".join(
        ["", "| key | default | meaning |", "|---|---|---|", *table_lines(Config), "", ""]
    )
    return {
        CONFIG / "config.yaml": text,
        CONFIG / "config.schema.json": schema,
        CONFIG / "README.md": before + KEYS_BEGIN + keys + KEYS_END + after,
    }


def main() -> int:
    """Write the files, or compare them with `--check`."""
    drifted = [
        path
        for path, text in contents().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        for path in drifted:
            print(f"{path.name} has drifted from scripts/defectpool/config.py: run `make config`")
        return int(bool(drifted))
    for path in drifted:
        path.write_text(contents()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
