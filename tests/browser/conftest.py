"""A browser for each file; for each test the page of the server that its file calls `running`."""

import pytest


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from tests.support.pages import speaking_browser  # skips where there is no Playwright

    with speaking_browser(tmp_path_factory.mktemp("sound")) as browser:
        yield browser


@pytest.fixture
def page(browser, running):
    from tests.support.pages import opened, wait_until_empty

    with opened(browser, running, viewport={"width": 1280, "height": 800}) as page:
        yield page
    wait_until_empty(running)  # the next test finds every place free
