"""Page of a scan: whole in one file, opened in a real browser without a network."""

import json
import re

import numpy as np
import pytest
from ase.build import mx2
from scan_examples import layer, rock_salt

from defectpool.scan import page, scan
from defectpool.scan.drawing import cuts, drawing, wrapped
from defectpool.scan.result import Result
from defectpool.scan.text import as_dict

EVIL = "</script><script>document.title = 'ran'</script><img src=x onerror=alert(1)>.cif"


@pytest.fixture(scope="module")
def results():
    """Return results of each verdict, one of them with a path that is code."""
    structures = [layer(5), rock_salt(), mx2("MoSe2", a=3.29, vacuum=8).repeat((3, 3, 1))]
    found = list(scan(structures))
    return [*found, Result(EVIL, 0, reason="damaged cif file (ValueError: 3)")]


@pytest.fixture(scope="module")
def html(results, tmp_path_factory):
    """Return the page of the results."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    assert list(page.write_while_passing(results, path)) == results
    return path


@pytest.fixture(scope="module")
def opened(html, browser):
    """Return the page in a browser, with what went wrong and what it asked for."""
    shown = browser.new_page(viewport={"width": 1400, "height": 900})
    shown.problems, shown.asked = [], []
    shown.on(
        "console",
        lambda m: shown.problems.append(m.text) if m.type in ("error", "warning") else None,
    )
    shown.on("pageerror", lambda error: shown.problems.append(str(error)))
    shown.on("request", lambda request: shown.asked.append(request.url))
    shown.goto(html.as_uri())
    shown.wait_for_selector("body[data-drawn]")
    return shown


def rows(opened) -> list[str]:
    return opened.locator("#rows tr").all_inner_texts()


def test_the_page_asks_for_nothing_and_runs_no_data(opened):
    assert not opened.problems
    assert not [url for url in opened.asked if not url.startswith(("file:", "data:", "blob:"))]
    assert opened.title() == "Point defects"
    assert opened.locator("img").count() == 0


def test_counts_filter_and_sort(opened):
    assert opened.locator(".tile").all_inner_texts() == [
        "1\npristine", "2\ndefective", "1\nundecided",
    ]  # fmt: skip
    assert len(rows(opened)) == 4
    opened.locator(".tile", has_text="undecided").click()
    assert len(rows(opened)) == 1 and "damaged cif file" in rows(opened)[0]
    opened.locator(".tile", has_text="undecided").click()
    opened.fill("#search", "v_se")
    assert len(rows(opened)) == 1 and "MoSe2" in rows(opened)[0]
    opened.fill("#search", "")
    opened.locator("th button", has_text="atoms").click()
    atoms = opened.locator("#rows tr td:nth-child(3)").all_inner_texts()
    assert atoms == ["215", "74", "27", "0"]
    assert not opened.problems


def drawn(opened) -> np.ndarray:
    """Return the pixels of the picture."""
    import io

    from PIL import Image

    opened.wait_for_timeout(400)
    picture = opened.locator("#view").screenshot()
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def test_structures_turn_and_show_displacements(opened):
    opened.locator("#rows tr", has_text="v_Se").click()
    before = drawn(opened)
    assert (before.min(axis=2) < 200).mean() > 0.05  # not an empty view
    opened.click("#side")
    assert (abs(drawn(opened) - before).max(axis=2) > 40).mean() > 0.05
    opened.click("#above")
    assert (abs(drawn(opened) - before).max(axis=2) > 40).mean() < 0.02
    opened.click("#colored")
    assert "displacement" in opened.locator("#legend").inner_text()
    opened.click("#arrows")
    assert (abs(drawn(opened) - before).max(axis=2) > 40).mean() > 0.05
    opened.click("#colored")
    opened.click("#arrows")
    assert "vacancy" in opened.locator("#defects").inner_text()
    assert not opened.problems


def test_arrow_keys_go_through_the_table(opened):
    first = opened.locator("#rows tr").first
    first.click()
    name = opened.locator("#name").inner_text()
    first.press("ArrowDown")
    assert opened.locator("#name").inner_text() != name
    opened.locator("#rows tr", has_text="damaged").click()
    assert opened.locator("#absent").is_visible()
    assert not opened.problems


def test_a_slab_across_the_face_is_drawn_in_one_piece():
    atoms = layer()
    for height in np.linspace(0, float(atoms.cell[2, 2]), 7):
        moved = atoms.copy()
        moved.positions[:, 2] += height
        moved.wrap()
        positions = wrapped(moved, moved.positions, cuts(moved))
        assert np.ptp(positions[:, 2]) < 5


def test_a_large_structure_is_drawn_around_its_defects():
    (result,) = scan(rock_salt().repeat(3))
    shown = drawing(result)
    assert shown["cut"] and len(shown["species"]) == 4000
    assert len(shown["positions"]) == 3 * 4000


def test_a_full_page_keeps_counting(results, monkeypatch):
    monkeypatch.setattr(page, "MOST_ROWS", 5)
    monkeypatch.setattr(page, "MOST_ATOMS", 100)
    contents = page.Page()
    for _ in range(3):
        for result in results:
            contents.add(as_dict(result), drawing(result))
    data = contents.data()
    assert sum(data["counts"].values()) == 12 and len(data["rows"]) == 5
    assert sum(len(shown["species"]) for shown in data["drawings"]) <= 100


def test_reasons_are_counted_without_their_numbers():
    assert page.without_numbers("1,000 atoms; the limit is 3") == "… atoms"
    assert page.common_folder(["/a/b/c.cif", "/a/b/d/e.cif"]) == "/a/b/"
    assert page.common_folder(["c.cif", "/a/d.cif"]) == ""


def test_data_are_escaped(html):
    text = html.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)
    assert EVIL in [row["path"] for row in json.loads(data)["rows"]]
