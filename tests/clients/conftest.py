"""Clients of others against a running server. `make test-clients` makes their environments, one
for each as they exclude each other, and runs this folder; `make test` leaves it out."""

import pytest


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    """A server for all files, with faces at 256 pixels."""
    from tests.support.pages import CAST, serving

    with serving(tmp_path_factory.mktemp("server"), cast=CAST[:2]) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium that hears clicks and vowels."""
    from tests.support.pages import speaking_browser

    with speaking_browser(tmp_path_factory.mktemp("sound")) as browser:
        yield browser
