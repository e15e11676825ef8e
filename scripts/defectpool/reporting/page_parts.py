"""Parts that the pages of the report share: style sheet, tables, 3D library, templates, data.

A page is one file that needs no network: 3Dmol.js 2.5.5 (N. Rego and D. Koes, Bioinformatics 31,
1322 (2015); BSD 3-Clause, `3Dmol-LICENSE.txt`) is part of those that draw in 3D, unchanged as the
npm package `3dmol` has it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIBRARY = "3Dmol-min.js"
NOTICE = "/* 3Dmol.js 2.5.5, Copyright (c) 2014 University of Pittsburgh, BSD 3-Clause */\n"
SHARED = {"STYLE": "page.css", "TABLES": "tables.js", "LIBRARY": LIBRARY}


def filled(template: str, **parts: str) -> str:
    """Template of this folder, each `$NAME` replaced by the part of that name.

    Names are sought in the template alone, so no text in the data can stand for one. `$STYLE`,
    `$TABLES` and `$LIBRARY` are the shared parts.
    """
    pieces = re.split(r"\$([A-Z]{2,})", (HERE / template).read_text(encoding="utf-8"))
    return "".join(
        (parts[piece] if piece in parts else _shared(piece)) if number % 2 else piece
        for number, piece in enumerate(pieces)
    )


def _shared(name: str) -> str:
    text = (HERE / SHARED[name]).read_text(encoding="utf-8")
    return NOTICE + text if name == "LIBRARY" else text


def as_json(data: Any) -> str:
    """Data for a page as JSON; "<" is escaped, so that no text can end the script that holds it."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def link(target: str, text: str, command: str) -> str:
    """Link to another page of the report, which a command makes; hidden until `showLinks`."""
    return f'<nav hidden>See also: <a href="{target}">{text}</a> (<code>{command}</code>)</nav>'


def inline_svg(text: str) -> str:
    """SVG element of a file, without the XML declaration, document type and metadata."""
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return text[text.index("<svg") :]
