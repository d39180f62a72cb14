"""A real headless Chromium for the report: run these tests with `pytest -m browser`."""

import shutil

import pytest
from cases import driving as drive
from cases import synthetic as make

from landscape.figures.report.page import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SOFTWARE_WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]


@pytest.fixture(scope="session")
def chromium():
    path = next(filter(None, map(shutil.which, NAMES)), None)
    assert path, f"expected a Chromium on the PATH (one of {', '.join(NAMES)}); install Debian's `chromium`"
    from playwright.sync_api import sync_playwright  # of the extra `dev`, which the default tests do without

    with sync_playwright() as playwright:
        yield lambda *flags: playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *flags])


@pytest.fixture(scope="session")
def browser(chromium):
    found = chromium(*SOFTWARE_WEBGL)
    yield found
    found.close()


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    return write_report(
        make.everything("a", "b", nx=15, ny=11, value=drive.wide), tmp_path_factory.mktemp("pair") / "report.html"
    )


@pytest.fixture
def visit(browser):
    """Open a page, with everything that must not happen collected in `page.faults`."""
    pages = []

    def opened(path, *, within=browser, **options):
        page = within.new_page(viewport={"width": 1280, "height": 1000}, **options)
        page.set_default_timeout(90_000)  # 3-D is drawn by the processor here, which others may use too
        page.faults = faults = []
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        own = (path.as_uri(), "data:", "blob:")
        page.on("request", lambda request: request.url.startswith(own) or faults.append(f"fetched {request.url}"))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=90_000)
        pages.append(page)
        return page

    yield opened
    for page in pages:
        assert page.faults == []
        page.close()
