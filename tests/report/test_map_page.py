"""The page of the map in a real browser, made by the workflow from networks that are not trained.

Cells, answers, figures and the page are those of a campaign; only the training is left out.
"""

import json

import pandas as pd
import pytest
from workflow.conftest import Clone

from defectpool.config import GraphSettings, NetworkSettings
from defectpool.materials import embedded
from defectpool.network.initial import initial_network
from defectpool.network.model_file import write_models

from .conftest import assert_clean, colors, eventually, picture

pytestmark = pytest.mark.slow

HOSTS = 4
CAMPAIGN = {
    "materials": {"limit": 12},
    "defects": ["vacancy", "antisite", "substitution", "interstitial", "dense"],
    "supercells": ["3x3"],
    "graph": {"radius": 4.0, "max_neighbors": None},
    "network": {"width": 8, "hidden": 8},
    "poolings": ["max", "sites"],
    "convolutions": ["smooth"],
    "map": {
        "hosts": HOSTS, "supercell": "3x3", "temperature": [100, 300], "concentration": [0.1],
        "displacement": [], "supercells": [], "alloy": [], "strain": [], "baselines": ["spglib"],
    },
    "results": {"bootstrap": 100},
}  # fmt: skip
RULES = (
    "select_materials", "use_selection", "build_map_cells", "answer_with_lattice",
    "answer_with_spglib", "answer_with_networks", "draw_map", "write_map_page", "map",
)  # fmt: skip


def put_networks(folder, pooling):
    """Write the artifacts of a run whose two networks are as they were before training."""
    size = NetworkSettings(**CAMPAIGN["network"])
    networks = [initial_network(pooling, "smooth", size, 4.0, seed) for seed in (0, 1)]
    folder.mkdir(parents=True)
    write_models(folder / "model.pt", {
        "pooling": pooling, "convolution": "smooth", "network": size.model_dump(),
        "n_outputs": 5 if pooling == "sites" else 1,
        "graph": GraphSettings(**CAMPAIGN["graph"]).model_dump(mode="json"),
        "models": [{"repeat": 0, "fold": fold, "epoch": 1, "weights": one.state_dict()}
                   for fold, one in enumerate(networks)],
    })  # fmt: skip
    tested = [
        {"structure": host.id, "host": host.id, "formula": host.formula, "pair": host.id,
         "name": "v", "repeat": 0, "fold": number % 2, "label": 1, "probability": 0.5,
         "probability_best_epoch": 0.5}
        for number, host in enumerate({one.formula: one for one in embedded.hosts()}.values())
    ]  # fmt: skip
    pd.DataFrame(tested).to_csv(folder / "predictions.csv", index=False)
    (folder / "audit.json").write_text(json.dumps({"seconds": 60.0}))


@pytest.fixture(scope="module")
def results(browser, tmp_path_factory):
    """Make the map of a small campaign; not started where there is no browser."""
    clone = Clone(tmp_path_factory.mktemp("map") / "clone")
    clone.configure(**CAMPAIGN)
    for pooling in CAMPAIGN["poolings"]:
        put_networks(clone.folder / f"results/training/any/3x3/{pooling}/smooth", pooling)
    done = clone.run("map", "--configfile", "my.yaml", "--allowed-rules", *RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    return clone.folder / "results"


@pytest.fixture
def shown(page, results):
    page.goto((results / "report/map.html").as_uri())
    page.wait_for_selector("body[data-ready]")
    return page


def test_the_page_is_light_and_links_to_the_first_one(shown, results):
    assert (results / "report/map.html").stat().st_size < 2e6
    assert shown.locator("figure svg").count() > 2
    assert shown.locator("nav a").get_attribute("href") == "summary.html"
    assert shown.locator("nav").is_visible()
    assert_clean(shown)


def test_rows_of_the_confusion_matrices_add_up_to_the_cells(shown, results):
    answers = [
        pd.read_csv(results / f"map/answers/{axis}/lattice.csv", dtype={"value": str})
        for axis in ("temperature", "concentration")
    ]
    single = pd.concat(answers)
    single = single[single["defect"] != "dense"]
    expected = {"pristine": int((single["label"] == 0).sum())}
    expected |= single.loc[single["label"] == 1, "defect"].value_counts().to_dict()
    shown.locator("#cells").select_option("0")
    tables = shown.locator("#matrices table")
    methods = [tables.nth(i).get_attribute("data-method") for i in range(tables.count())]
    assert methods == ["lattice", "sites", "combined"]
    for table in tables.all():
        for row in table.locator("tbody tr").all():
            counts = [int(c.get_attribute("data-count")) for c in row.locator("[data-count]").all()]
            assert sum(counts) == expected[row.locator("th").inner_text()]
    # one temperature alone has half of them
    shown.locator("#cells").select_option(label="temperature (K): 300")
    assert int(tables.first.locator("tr[data-total]").first.get_attribute("data-total")) == (
        expected["pristine"] // 2
    )
    assert_clean(shown)


def test_structures_draw_in_3d_with_colored_sites(shown):
    shown.locator("#viewer[data-drawn]").wait_for()
    canvas = shown.locator("#view canvas").first
    eventually(shown, lambda: colors(picture(canvas)) > 15)  # an empty view has one
    cards = shown.locator(".card")
    assert cards.count() > 2
    for card in cards.all():
        circles = card.locator("svg circle:not(.true)")
        assert len({circle.get_attribute("fill") for circle in circles.all()}) > 1
        assert card.locator("li").count() == 5  # max, sites, lattice, spglib, combined
    assert shown.locator(".card.chosen").count() == 1
    before = picture(canvas).tobytes()
    shown.get_by_text("Color by element").click()
    eventually(shown, lambda: picture(canvas).tobytes() != before)
    mistakes = shown.locator("section.mistakes .card")
    mistakes.first.locator("button").click()
    number = mistakes.first.get_attribute("data-example")
    shown.locator(f"#viewer[data-drawn='{number}/elements']").wait_for()
    assert shown.locator("section.mistakes #view").count() == 1
    title = mistakes.first.locator("strong").inner_text()
    assert shown.locator("#name").inner_text() == title
    assert_clean(shown)


def test_mistakes_are_mistakes(shown):
    for section in shown.locator("section.mistakes").all():
        method = section.locator("h3").inner_text()
        for card in section.locator(".card").all():
            own = card.locator("li").filter(has=shown.locator(f"b:text-is('{method}')"))
            assert own.get_attribute("class") == "wrong"


def test_the_page_is_no_wider_than_a_phone(shown):
    shown.set_viewport_size({"width": 390, "height": 844})
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    for matrix in shown.locator("#matrices > div").all():
        assert matrix.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    assert_clean(shown)
