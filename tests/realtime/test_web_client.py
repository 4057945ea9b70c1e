"""Static checks of the web client: what can be known of the page without a server or a browser."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from realtime import client_events, errors, protocol
from realtime.errors import VivavoceError

CLIENT = Path(__file__).parents[2] / "web_client"
MODULES = sorted(CLIENT.rglob("*.js"))
FILES = sorted(
    path for path in CLIENT.rglob("*") if path.suffix in {".js", ".css", ".html", ".svg"}
)
SVG_NAMESPACE = "http://www.w3.org/2000/svg"


class Page(HTMLParser):
    """What index.html contains: ids, linked files, `aria-labelledby` targets, unnamed buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.append(values["id"])
        self.labels += [values[name] for name in ("aria-labelledby", "for") if name in values]
        self.links += [values[name] for name in ("src", "href") if name in values]


@pytest.fixture(scope="module")
def page() -> Page:
    parsed = Page()
    parsed.feed((CLIENT / "index.html").read_text())
    return parsed


def event_names(base: type[BaseModel], module: ModuleType = protocol) -> set[str]:
    """The `type` of every event class below `base`."""
    names = set()
    for event in vars(module).values():
        if not (isinstance(event, type) and issubclass(event, base)):
            continue
        field = event.model_fields.get("type")
        if field is not None and get_origin(field.annotation) is Literal:
            names.update(get_args(field.annotation))
    return names


def javascript_names(table: str) -> set[str]:
    """The values of a frozen table of strings in protocol.js."""
    source = (CLIENT / "client" / "protocol.js").read_text()
    found = re.search(rf"export const {table} = Object\.freeze\(\{{(.*?)\}}\)", source, re.DOTALL)
    assert found, f"protocol.js has no table {table}"
    return set(re.findall(r'"([^"]+)"', found[1]))


def all_errors(base: type[VivavoceError]) -> set[type[VivavoceError]]:
    return {base}.union(*(all_errors(kind) for kind in base.__subclasses__()))


def test_protocol_js_mirrors_the_client_events():
    assert javascript_names("ClientEvent") == event_names(client_events.ClientEvent, client_events)


def test_protocol_js_mirrors_the_server_events():
    assert javascript_names("ServerEvent") == event_names(protocol.ServerEvent)


@pytest.mark.parametrize(
    "code",
    [
        "at_capacity",
        "avatar_not_ready",
        "draining",
        "engine_unavailable",
        "pipeline_not_loaded",
        "starting",
        "storage_unavailable",
        "too_many_sessions",
        "unknown_avatar",
        "unknown_pipeline",
    ],
)
def test_the_refusals_a_user_meets_are_explained(code):
    assert code in {kind.code for kind in all_errors(errors.VivavoceError)}
    explained = re.findall(r"^  (\w+): \{$", (CLIENT / "errors.js").read_text(), re.MULTILINE)
    assert code in explained


def test_ids_are_unique(page):
    assert len(page.ids) == len(set(page.ids))


def test_every_id_the_code_asks_for_exists(page):
    asked = {
        name for path in MODULES for name in re.findall(r'byId\("([^"]+)"\)', path.read_text())
    }
    assert asked
    assert asked <= set(page.ids)


def test_labels_point_at_elements(page):
    assert set(page.labels) <= set(page.ids)


def test_stable_ids_for_tests_and_scripts(page):
    stable = {"start", "avatar-video", "gallery", "mute", "speaker", "record", "stats", "error"} | {
        "interrupt"
    }
    assert stable | {"fullscreen", "microphone", "state", "connection", "badge"} <= set(page.ids)


def test_linked_files_exist(page):
    linked = {link.split("#")[0] for link in page.links} - {""}
    assert {link for link in linked if not (CLIENT / link).is_file()} == set()


def test_every_icon_is_drawn(page):
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (CLIENT / "icons.svg").read_text()))
    used = {link.split("#")[1] for link in page.links if link.startswith("icons.svg#")}
    for path in MODULES:
        for call in re.findall(r"\b(?:setIcon|icon)\((.*)\);", path.read_text()):
            used.update(re.findall(r'"([a-z-]+)"', re.sub(r'byId\("[^"]+"\)', "", call)))
    assert used
    assert used <= drawn


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_loaded_from_elsewhere(path):
    text = path.read_text().replace(SVG_NAMESPACE, "")
    outside = re.findall(
        r"""(?:src|href|from|import|url|fetch)\s*[=(]?\s*["'(]*((?:https?:)?//[^"')\s]+)""", text
    )
    assert outside == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_imports_resolve(path):
    source = path.read_text()
    for names, target in re.findall(r'(?:im|ex)port \{([^}]+)\} from "([^"]+)"', source):
        assert target.startswith("./")  # what others embed needs nothing of the page
        exported = (path.parent / target).read_text()
        for name in filter(None, re.split(r"[\s,]+", names)):
            assert re.search(rf"export (?:async )?(?:class|function|const) {name}\b", exported), (
                name
            )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_one_class_per_file_and_it_can_be_destroyed(path):
    source = path.read_text()
    classes = re.findall(r"^export class (\w+)(?: extends (\w+))?", source, re.MULTILINE)
    assert len(classes) <= 1
    holds_nothing = {"Api", "Preferences", "ClientError"}
    for name, _ in classes:
        assert name in holds_nothing or re.search(r"^  destroy\(\) \{", source, re.MULTILINE)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_syntax():
    for path in MODULES:
        checked = subprocess.run(
            ["node", "--input-type=module", "--check"],
            input=path.read_text(),
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stderr
