"""The report in a real browser: it opens without a network, toggles switch, structures draw."""

import re
import shutil
import zipfile
from pathlib import Path

import pytest
from workflow.conftest import Clone

from .conftest import assert_clean, colors, eventually, picture

pytestmark = pytest.mark.slow

CAMPAIGN = {
    "materials": {"limit": 12},
    "defects": ["antisite"],
    "supercells": ["2x2", "3x3"],
    "network": {"width": 16, "hidden": 16},
    "training": {"epochs": 3, "folds": 3},
    "results": {"bootstrap": 200},
}


@pytest.fixture(scope="module")
def campaign(browser, tmp_path_factory):
    """Run a small campaign with all its evidence; not started where there is no browser."""
    clone = Clone(tmp_path_factory.mktemp("report") / "clone")
    clone.configure(**CAMPAIGN)
    done = clone.run("evidence", "--configfile", "my.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    messages = done.stdout + done.stderr
    for name in ("report.zip", "report.html"):
        # without a proxy's address nothing could be fetched even if it were asked for
        done = clone.run(
            "evidence", "--report", f"results/{name}", "--configfile", "my.yaml",
            https_proxy="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    (clone.folder / "results/messages.txt").write_text(messages)
    return clone.folder / "results"


def test_each_job_is_one_line_on_the_screen(campaign):
    lines = (campaign / "messages.txt").read_text().splitlines()
    jobs = [line for line in lines if re.match(r"\[ *\d+/\d+ +\d+%\] ", line)]
    total = int(re.search(r"^total +(\d+)$", "\n".join(lines), re.M)[1])
    assert len(jobs) == total and jobs[-1].startswith(f"[{total}/{total} 100%]")
    assert all(" left" in line for line in jobs[:-1])
    assert len(lines) < total + 40
    logs = [path.read_text() for path in (campaign.parent / ".snakemake/log").glob("*.log")]
    assert any("reason: " in log for log in logs)


@pytest.fixture(scope="module")
def report(campaign, tmp_path_factory):
    """Return the report to open, as it is sent to somebody: alone."""
    folder = tmp_path_factory.mktemp("sent")
    with zipfile.ZipFile(campaign / "report.zip") as packed:
        packed.extractall(folder)
    return folder / "report" / "report.html"


@pytest.fixture(scope="module", params=["zip", "html"])
def either(request, report, campaign, tmp_path_factory):
    """Return the report in each of its forms."""
    if request.param == "zip":
        return report
    return Path(shutil.copy(campaign / "report.html", tmp_path_factory.mktemp("sent")))


def open_category(page, report, name):
    page.goto(report.as_uri())
    page.get_by_text(name, exact=True).first.click()
    page.wait_for_selector("table")


def eyes(page):
    return page.locator("a[iconname=eye]")


def test_every_figure_opens_and_nothing_is_asked_of_a_network(page, either):
    seen = 0
    for category in ("Table", "Plots", "Runs", "Localization"):
        open_category(page, either, category)
        for i in range(eyes(page).count()):
            eyes(page).nth(i).click()
            shown = page.locator("img[src*='.svg'], img[src^='data:image/svg'], iframe").last
            shown.wait_for()
            page.wait_for_timeout(300)
            if shown.evaluate("e => e.tagName") == "IMG":
                assert shown.evaluate("e => e.complete && e.naturalWidth") > 100
            else:
                assert len(shown.content_frame.locator("body").inner_text()) > 200
            seen += 1
    # summary; 4 plots; the runs of one pooling; structures in 3D and distances
    assert seen == 1 + 4 + 2 + 2
    assert_clean(page)


def test_captions_say_what_to_see(page, report):
    open_category(page, report, "Plots")
    page.locator("a[iconname='information-circle']").first.click()
    page.wait_for_timeout(300)
    assert "bootstrap over hosts" in page.locator("body").inner_text()
    assert_clean(page)


def test_toggle_switches_between_mean_and_max(page, report):
    open_category(page, report, "Runs")
    eyes(page).first.click()
    image = page.locator("img[src*='.svg'], img[src^='data:image/svg']").last
    image.wait_for()
    pictures = {}
    for pooling in ("mean", "max", "mean"):
        page.locator(f"label[for=toggle-pooling-{pooling}]").click()
        page.wait_for_timeout(300)
        assert page.locator(f"#toggle-pooling-{pooling}").is_checked()
        source = image.get_attribute("src")
        assert pictures.setdefault(pooling, source) == source
    assert pictures["mean"] != pictures["max"]
    assert_clean(page)


def test_structures_draw_in_3d_and_can_be_turned_and_switched(page, report, tmp_path):
    open_category(page, report, "Localization")
    row = page.locator("tr", has_text="structures in 3D")
    row.locator("a[iconname=eye]").click()
    frame = page.locator("iframe").last.content_frame
    frame.locator("body[data-drawn]").wait_for()
    views = [frame.locator(f"#{name} canvas").first for name in ("pristine", "defective")]
    for view in views:
        eventually(page, lambda view=view: colors(picture(view)) > 15)  # an empty view has one
    before = picture(views[1]).tobytes()
    frame.locator("#side").click()
    eventually(page, lambda: picture(views[1]).tobytes() != before)
    frame.locator("#above").click()
    frame.locator("#networks button", has_text="mean").first.click()
    assert frame.locator("tr.chosen").inner_text().startswith("mean")
    options = frame.locator("#structure option")
    assert options.count() == 4  # two for each supercell
    title = frame.locator("#defective-name").inner_text()
    frame.locator("#structure").select_option(index=1)
    frame.locator("body[data-drawn^='1/']").wait_for()
    assert title.startswith("defective: ")
    eventually(page, lambda: colors(picture(views[0])) > 15)
    page.screenshot(path=tmp_path / "structures.png")
    assert_clean(page)


def results_page(page, report):
    """Open the report, and return the results page that it opens with."""
    page.goto(report.as_uri())
    frame = page.locator("iframe.results-page").content_frame
    frame.locator("body[data-ready]").wait_for()
    return frame


def test_the_report_opens_with_the_table_and_the_main_plot(page, either):
    page.set_viewport_size({"width": 1400, "height": 900})
    frame = results_page(page, either)
    table = frame.locator("table.data").first
    assert table.get_attribute("data-name") == "table" and table.locator("tr.run").count() == 4
    assert page.locator("iframe.results-page").bounding_box()["y"] < 40
    assert table.bounding_box()["y"] < 250
    plot = frame.locator("figure svg")
    assert plot.bounding_box()["y"] < page.locator("#app #rulegraph").bounding_box()["y"]
    titles = plot.locator("title")
    assert titles.first.text_content().startswith("antisite 2x2, mean: ")
    assert_clean(page)


def test_no_table_is_wider_than_the_page(page, report):
    page.set_viewport_size({"width": 1400, "height": 900})
    frame = results_page(page, report)
    frame.locator("tr.run").first.click()
    for wide in frame.locator(".wide").all():
        assert wide.evaluate("e => e.scrollWidth <= e.clientWidth + 1"), wide.inner_text()[:200]


def column(frame, number):
    cells = frame.locator(f"table[data-name=table] tbody tr:not([hidden]) td:nth-child({number})")
    return cells.all_inner_texts()


def test_tables_sort_filter_and_are_saved(page, report):
    frame = results_page(page, report)
    head = frame.locator("table[data-name=table] th", has_text="accuracy (%)")
    head.click()
    rising = [float(text) for text in column(frame, 5)]
    assert rising == sorted(rising) and head.get_attribute("aria-sort") == "ascending"
    head.click()
    assert [float(text) for text in column(frame, 5)] == sorted(rising, reverse=True)
    frame.locator("input[type=search]").first.fill("3x3 max")
    assert column(frame, 2) == ["3x3"] and column(frame, 3) == ["max"]
    with page.expect_download() as download:
        frame.get_by_text("save as CSV").first.click()
    head, row = Path(download.value.path()).read_text().splitlines()
    assert head.startswith("defect,supercell,pooling") and row.startswith("antisite,3x3,max")
    assert_clean(page)


def test_a_row_leads_to_its_run_its_structures_and_its_errors(page, report):
    frame = results_page(page, report)
    frame.locator("input[type=search]").first.fill("2x2 max")
    row = frame.locator("tr.run:visible")
    wrong = int(row.locator("td").nth(10).inner_text())
    row.click()
    detail = frame.locator("#detail")
    assert "antisite 2x2 max" in detail.locator("h2").inner_text()
    assert detail.locator("img").evaluate("e => e.complete && e.naturalWidth") > 100
    assert detail.locator("table[data-name=misclassified] tbody tr").count() == wrong
    detail.locator(".show-structures").click()
    inner = detail.locator("iframe").content_frame
    inner.locator("body[data-drawn]").wait_for()
    assert inner.locator("#structure option:checked").inner_text().endswith("2x2")
    eventually(page, lambda: colors(picture(inner.locator("#defective canvas").first)) > 15)
    assert_clean(page)


def test_summary_has_the_table_and_what_it_rests_on(page, report):
    open_category(page, report, "Table")
    eyes(page).first.click()
    frame = page.locator("iframe").last.content_frame
    text = frame.locator("body").inner_text()
    for word in ("antisite", "3x3", "McNemar", "divisibility", "torch", "limit: 12", "protocol"):
        assert word in text
    assert_clean(page)
