"""Hosts from an OPTIMADE server (Andersen et al., Sci. Data 8, 217 (2021)).

The answer to a query is kept page by page in one file, so that an interrupted download resumes
where it stopped and a finished one needs no network. The filter is checked by the parser
of the `optimade` package before anything is sent, and species are read by its models. Its client is
not used: it holds all pages in memory, gives up at an error 5xx and cannot resume. Nor are its
models of whole entries: C2DB's server sends row numbers for ids and no link to the next page, so
only the values that are needed are checked, and pages are requested by offset without links.
"""

import hashlib
import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from defectpool.errors import DefectpoolError
from defectpool.materials.database import scalars
from defectpool.materials.host import BadStructure, Candidate, Properties, Rejected, in_words
from defectpool.runtime.hashing import content_id

PAGE = 100  # structures a page; C2DB's own number
ATTEMPTS = 8
UNREACHABLE_ATTEMPTS = 2  # where the connection is refused
FIRST_WAIT = 1.0  # s; doubled with each further attempt
LONGEST_WAIT = 120.0  # s
TIMEOUT = (10.0, 120.0)  # s to connect, s between bytes
PASSING = {429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Download:
    """A finished download: the file and the day (UTC) on which it began."""

    path: Path
    date: str


def fetch(url: str, query: str, cache: Path) -> Download:
    """Download all structures that match, or find them in the cache.

    Parameters
    ----------
    url
        Base URL of the server, without the version.
    query
        Filter in OPTIMADE's language; empty for all structures.
    cache
        Folder of the downloads. A file there is named after URL and filter; it begins with them
        and the date, and each further line is a page. Delete it to ask the server anew.

    Raises
    ------
    DefectpoolError
        If the address is not http or https, if the filter is not in OPTIMADE's language, if the
        server refuses, or if it does not answer in 8 attempts (2 if nothing listens there); what
        has arrived is kept, and the next call goes on from there.
    """
    _check_url(url)
    _check_filter(query)
    base = url.rstrip("/")
    path = cache / f"{content_id('optimade', base, query, length=16)}.jsonl"
    if path.is_file():
        return Download(path, _header(path)["date"])
    partial = path.with_suffix(".part")
    cache.mkdir(parents=True, exist_ok=True)
    head, pages = _resume(partial, base, query)
    seen = {page["url"] for page in pages}
    firsts = {page["first"] for page in pages}
    count = sum(page["count"] for page in pages)
    total = pages[-1]["total"] if pages else None
    parameters = {"page_limit": PAGE} | ({"filter": query} if query else {})
    start = f"{base}/v1/structures?{urlencode(parameters)}"
    link = _following(pages[-1], start, count) if pages else start
    with partial.open("a", encoding="utf-8") as file:
        while link:
            if link in seen:
                raise DefectpoolError(f"{url}: the server's pages go round in circles at {link}")
            page = _page(link)
            if not page["linked"] and page["first"] in firsts:
                break  # it knows no offset either: there is one page
            if None not in (total, page["total"]) and page["total"] != total:
                partial.unlink()
                raise DefectpoolError(
                    f"{url}: the server's data changed during the download ({total} structures "
                    f"before, {page['total']} now); start again, and it begins anew"
                )
            file.write(json.dumps(page) + "\n")
            file.flush()
            os.fsync(file.fileno())
            seen.add(link)
            firsts.add(page["first"])
            count, total = count + page["count"], page["total"]
            print(f"{base}: {count} of {'?' if total is None else total} structures")
            link = _following(page, start, count)
    partial.replace(path)
    return Download(path, head["date"])


def candidates(download: Path) -> Iterator[Candidate | Rejected]:
    """Yield the structures of a finished download in the order in which they were sent."""
    with download.open(encoding="utf-8") as file:
        server = urlsplit(json.loads(file.readline())["url"]).netloc
        for line in file:
            for entry in json.loads(line)["data"]:
                yield _candidate(entry, server)


def digest(download: Path) -> str:
    """SHA-256 of all structures of a finished download, whatever the day and the pages."""
    total = hashlib.sha256()
    with download.open(encoding="utf-8") as file:
        next(file)
        for line in file:
            for entry in json.loads(line)["data"]:
                total.update(json.dumps(entry, sort_keys=True).encode())
    return total.hexdigest()


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DefectpoolError(
            f"materials.url: {url!r} is not the address of a server; it begins with https:// or "
            "http://, such as https://c2db.fysik.dtu.dk/optimade"
        )


def _check_filter(query: str) -> None:
    from optimade.exceptions import BadRequest
    from optimade.filterparser import LarkParser

    if query:
        try:
            LarkParser().parse(query)
        except BadRequest as error:
            raise DefectpoolError(
                f"materials.filter: {query!r} is not in OPTIMADE's language: {error}"
            ) from None


def _header(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8") as file:
        return json.loads(file.readline())


def _resume(partial: Path, base: str, query: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Read what an interrupted download left, without its torn last line, or begin a new one."""
    whole = 0
    head: dict[str, str] = {}
    pages: list[dict[str, Any]] = []
    if partial.is_file():
        with partial.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                content = json.loads(line)
                if head:
                    del content["data"]
                    pages.append(content)
                else:
                    head = content
                whole += len(line)
        os.truncate(partial, whole)
    if not head:
        head = {"url": base, "filter": query, "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        partial.write_text(json.dumps(head) + "\n", encoding="utf-8")
    return head, pages


def _page(link: str) -> dict[str, Any]:
    """Fetch one page, waiting and trying again where that may help."""
    import requests

    if urlsplit(link).scheme not in ("http", "https"):
        raise DefectpoolError(f"{link}: the server's next page is not an http or https address")
    problem, attempts = "", ATTEMPTS
    for attempt in range(ATTEMPTS):
        wait = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT)
        try:
            answer = requests.get(
                link, timeout=TIMEOUT, headers={"Accept": "application/vnd.api+json, */*"}
            )
            if answer.status_code == 200:
                return _contents(link, answer.json())
            problem = f"status {answer.status_code}: {_complaint(answer.text)}"
            if answer.status_code not in PASSING:
                raise DefectpoolError(f"{link}: the server refuses ({problem})")
            asked = answer.headers.get("Retry-After", "")
            if asked.isdigit():
                wait = min(max(wait, float(asked)), LONGEST_WAIT)
        except (
            requests.RequestException,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
        ) as error:
            problem = in_words(error)
            if _nothing_listens(error):
                problem, attempts = "no server listens there", min(ATTEMPTS, UNREACHABLE_ATTEMPTS)
        if attempt + 1 >= attempts:
            break
        _tell(f"{link}: {problem}; attempt {attempt + 2} of {attempts} in {wait:g} s")
        time.sleep(wait)
    raise DefectpoolError(
        f"{link}: no answer in {attempts} attempts ({problem}); what has arrived is kept, start "
        "again to go on from there"
    )


def _nothing_listens(error: BaseException | None) -> bool:
    """Whether the connection was refused or the name of the server is not known."""
    while error is not None:
        if isinstance(error, (ConnectionRefusedError, socket.gaierror)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _tell(text: str) -> None:
    """Print to the log and, since a download may wait for minutes, on the screen."""
    print(text)
    if sys.__stderr__ is not None and sys.stderr is not sys.__stderr__:
        print(text, file=sys.__stderr__, flush=True)


def _contents(link: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a page that are kept; `linked` tells whether it has a next link."""
    data, links = answer["data"], answer.get("links") or {}
    if not isinstance(data, list):
        raise TypeError("`data` is not a list of structures")
    following = links.get("next")
    if isinstance(following, dict):
        following = following.get("href")
    linked = "next" in links
    total = (answer.get("meta") or {}).get("data_returned") if linked else None
    return {
        "url": link,
        "linked": linked,
        "next": following,
        "total": total,
        "count": len(data),
        "first": str(data[0].get("id")) if data else "",
        "data": data,
    }


def _following(page: dict[str, Any], start: str, count: int) -> str | None:
    """Address of the next page; where the server has no links, pages end with an empty one."""
    if page["linked"]:
        return page["next"]
    return f"{start}&page_offset={count}" if page["count"] else None


def _complaint(text: str) -> str:
    try:
        errors = json.loads(text)["errors"]
        return "; ".join(str(error.get("detail") or error.get("title")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return text[:200]


def _candidate(entry: Any, server: str) -> Candidate | Rejected:
    name = str(entry.get("id", "")) if isinstance(entry, dict) else ""
    source = f"{server}/{name}"
    try:
        attributes = entry["attributes"]
        properties = _properties(attributes)
        own = "" if name.isdigit() else name  # the number of a row is no identity
        uid = str(properties.pop("uid", "") or own)
        return Candidate(uid or None, _atoms(attributes), source, properties)
    except BadStructure as error:
        return Rejected(name or source, error.reason, str(error))
    except Exception as error:  # a server may send anything
        return Rejected(name or source, "unreadable", in_words(error))


def _properties(attributes: dict[str, Any]) -> Properties:
    """Return the provider's own properties, without its prefix: `_c2db_ehull` is ehull."""
    from optimade.models import StructureResourceAttributes

    standard = set(StructureResourceAttributes.model_fields)
    own = {key: value for key, value in attributes.items() if key not in standard}
    return scalars({re.sub("^_[a-z0-9]+_", "", key): value for key, value in own.items()})


def _atoms(attributes: dict[str, Any]) -> Atoms:
    from optimade.models import Species

    species = {
        entry["name"]: Species.model_validate(entry) for entry in attributes.get("species") or []
    }
    numbers = []
    for site in attributes["species_at_sites"]:
        found = species.get(site)
        symbols = [str(symbol) for symbol in found.chemical_symbols] if found else [site]
        if len(symbols) > 1 or (found and abs(found.concentration[0] - 1) > 1e-3):
            raise BadStructure("partial_occupancy", f"{site} is {', '.join(symbols)}")
        numbers.append(atomic_numbers.get(symbols[0], 0))
    vectors = np.array(attributes["lattice_vectors"], dtype=float).reshape(3, 3)
    vectors[np.isnan(vectors).all(axis=1)] = 0.0  # null along a direction without periodicity
    return Atoms(
        numbers,
        np.array(attributes["cartesian_site_positions"], dtype=float).reshape(-1, 3),
        cell=vectors,
        pbc=attributes.get("dimension_types") or True,
    )
