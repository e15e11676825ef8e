"""Pages in a headless browser that note what goes wrong."""

import io

import pytest
from PIL import Image

# Snakemake's own style sheet says this of itself.
KNOWN_WARNING = "cdn.tailwindcss.com should not be used in production"


@pytest.fixture
def page(browser):
    """Return a page that notes what goes wrong, and what it asks for."""
    opened = browser.new_page(viewport={"width": 1500, "height": 950})
    opened.set_default_timeout(120_000)  # ms; drawn in software, beside other tests
    opened.problems, opened.asked = [], []
    opened.on(
        "console",
        lambda m: (
            opened.problems.append(m.text)
            if m.type in ("error", "warning") and KNOWN_WARNING not in m.text
            else None
        ),
    )
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.on(
        "requestfailed", lambda request: opened.problems.append(f"failed: {request.url[:99]}")
    )
    opened.on("request", lambda request: opened.asked.append(request.url))
    yield opened
    opened.close()


def assert_clean(page):
    assert not page.problems
    assert not [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))]


def eventually(page, condition):
    """Wait until a condition holds."""
    for _ in range(300):
        if condition():
            return
        page.wait_for_timeout(200)
    raise AssertionError("it never came")


def picture(locator):
    return Image.open(io.BytesIO(locator.screenshot())).convert("RGB")


def colors(image):
    """Count the colors that cover some pixels each."""
    return len([1 for count, _ in image.getcolors(image.width * image.height) if count > 20])
