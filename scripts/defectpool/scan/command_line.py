"""Command `defectpool`: point defects in structure files, a line a structure."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

import defectpool
from defectpool.errors import DefectpoolError
from defectpool.scan.result import DEFECTIVE, UNDECIDED, Limits, Result
from defectpool.scan.run import scan_files

DEFAULT = Limits()
MANY = 5  # files from which on progress is shown
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
FAILING = {
    "undecided": {UNDECIDED},
    "defective": {UNDECIDED, DEFECTIVE},
    "never": set[str](),
}


class Size(click.ParamType):
    """Number of bytes with an optional unit: 200MB, 4G, 1000000."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return bytes."""
        if isinstance(value, int):
            return value
        text = str(value).strip().lower().removesuffix("b")
        number = text.rstrip("kmg")
        try:
            return int(float(number) * UNITS[text[len(number) :]])
        except (KeyError, ValueError):
            self.fail(f"{value!r} is not a size such as 200MB or 4GB", param, ctx)


@click.group()
@click.version_option(defectpool.__version__, prog_name="defectpool")
def main() -> None:
    """Find point defects in crystals."""


@main.command()
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write structures.csv, defects.csv, complexes.csv, events.csv, network_defects.csv and "
    "annotated.xyz there.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one page with the table and the structures in 3D; it works offline.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a structure.")
@click.option(
    "--write-pristine",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the pristine supercell of each structure to this folder.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["poscar", "cif"]),
    default="poscar",
    show_default=True,
    help="Format of the pristine supercells.",
)
@click.option(
    "--track", is_flag=True, help="Frames of the same atoms are a trajectory: follow its defects."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A model.pt or .safetensors of a campaign, whose networks give a second opinion; "
    "several are allowed.",
)
@click.option("--quiet", is_flag=True, help="Print no lines and no progress.")
@click.option(
    "--fail-on",
    type=click.Choice(list(FAILING)),
    default="undecided",
    show_default=True,
    help="Exit with status 1 for an undecided structure, a defective one too, or never.",
)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option(
    "--max-size", type=Size(), default=DEFAULT.file_bytes, show_default="500MB",
    help="Largest file, decompressed.",
)  # fmt: skip
@click.option(
    "--max-atoms", type=click.IntRange(1), default=DEFAULT.atoms, show_default=True,
    help="Largest structure.",
)  # fmt: skip
@click.option(
    "--max-seconds", type=click.FloatRange(0.1), default=DEFAULT.seconds, show_default=True,
    help="Longest time to read a structure; to analyze it, 1 ms an atom on top.",
)  # fmt: skip
@click.option(
    "--max-memory", type=Size(), default=DEFAULT.memory, show_default="1GB",
    help="Memory of a process.",
)  # fmt: skip
def scan(
    paths: tuple[str, ...],
    output: Path | None,
    html: Path | None,
    as_json: bool,
    write_pristine: Path | None,
    form: str,
    track: bool,
    models: tuple[Path, ...],
    quiet: bool,
    fail_on: str,
    jobs: int,
    max_size: int,
    max_atoms: int,
    max_seconds: float,
    max_memory: int,
) -> None:
    """Say of each structure whether it holds point defects, where and which.

    PATHS are files, folders, globs and archives; - is standard input. No pristine reference is
    needed: the host's own lattice is found inside the cell.

    Exit status: 0 if every structure is decided (pristine or defective), 1 if some is undecided
    or cannot be read (see --fail-on), 2 for a wrong call.
    """
    limits = Limits(max_size, max_atoms, max_seconds, max_memory)
    own = [path.resolve() for path in (output, write_pristine, html) if path]
    results = scan_files(_with_progress(_names(paths, own), quiet), limits, jobs, track)
    results = _with_networks(results, models)
    results = _written(results, bool(models), output, html, write_pristine, form)
    failing, failed = FAILING[fail_on], False
    try:
        for result in results:
            failed |= result.verdict in failing
            if not quiet:
                _print(result, as_json)
    except DefectpoolError as error:
        raise click.ClickException(str(error)) from None
    except BrokenPipeError:  # `defectpool scan ... | head` has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(int(failed))


def _names(paths: Iterable[str], own: Sequence[Path]) -> Iterator[str]:
    """Yield the files that paths stand for, without what a scan wrote to the same place."""
    from defectpool.scan.sources import listing

    for path in paths:
        for name in listing(path):
            place = Path(name).resolve() if own and name != path else None
            if not place or not any(place.is_relative_to(folder) for folder in own):
                yield name


def _with_progress(found: Iterable[str], quiet: bool) -> Iterable[str]:
    """Return the files, with a bar on standard error for many of them."""
    if quiet or not sys.stderr.isatty():
        return found
    names = list(found)
    if len(names) < MANY:
        return names
    from tqdm import tqdm

    return tqdm(names, unit="file", dynamic_ncols=True, leave=False)


def _with_networks(results: Iterator[Result], models: Sequence[Path]) -> Iterator[Result]:
    """Pass results on through the networks of these models, which are read at once."""
    if not models:
        return results
    from defectpool.scan import networks

    try:
        return networks.with_opinions(results, networks.load(models))
    except DefectpoolError as error:
        raise click.BadParameter(str(error), param_hint="--model") from None


def _written(
    results: Iterator[Result],
    networks: bool,
    output: Path | None,
    html: Path | None,
    write_pristine: Path | None,
    form: str,
) -> Iterator[Result]:
    """Pass results on through whatever writes files of them."""
    if output:
        from defectpool.scan import output as tables

        results = tables.write(results, output, networks)
    if html:
        from defectpool.scan import page

        results = page.write_while_passing(results, html)
    if write_pristine:
        from defectpool.scan import pristine

        results = pristine.write_all(results, write_pristine, form)
    return results


def _print(result: Result, as_json: bool) -> None:
    from defectpool.scan.text import as_dict, line

    text = json.dumps(as_dict(result)) if as_json else line(result)
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(text, file=sys.stdout)
    else:
        click.echo(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
