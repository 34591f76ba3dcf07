"""MLflow's own page in a real browser: who may approve, what a refusal says, and what a release leaves there.

`infra/chromium.sh` installs the browser. Pictures of each step are kept in `build/pictures/approval`.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from audit import AuditLog, default_folder
from serving.release.state import load_state
from tests.e2e.torchserve_stand import until
from tests.e2e.two_versions import two_versions
from thorax.stack.environment import environment

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium to open MLflow in"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]

PICTURES = Path("build/pictures/approval")
Open = Callable[[str, str], AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with two_versions(tmp_path_factory.mktemp("approval"), steps=[]) as home:
        yield home


@pytest.fixture(scope="module")
def page_of(home: Path) -> Iterator[Open]:
    """Open a version's page as one of MLflow's users."""
    from playwright.sync_api import sync_playwright

    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])

        @contextmanager
        def opened(user: str, version: str) -> Iterator[Any]:
            found = environment(home, user)  # type: ignore[arg-type]
            address = found["THORAX_MLFLOW_URI"]
            login = {"username": user, "password": found["THORAX_MLFLOW_PASSWORD"], "origin": address}
            context = browser.new_context(http_credentials=login, viewport={"width": 1400, "height": 1000})
            context.set_default_timeout(30_000)
            page = context.new_page()
            page.goto(f"{address}/#/models/chest-xray/versions/{version}")
            page.get_by_role("heading", name="Gates").wait_for()
            yield page
            context.close()

        yield opened
        browser.close()


def give_alias(page: Any, alias: str) -> Any:
    """Do what a person does who gives a version an alias; return the dialogue."""
    page.locator('[data-component-id*="modelversionviewaliaseditor"]').first.click()
    dialogue = page.get_by_role("dialog")
    box = dialogue.get_by_role("combobox")
    box.fill(alias)
    box.press("Enter")
    dialogue.get_by_role("button", name="Save").click()
    return dialogue


def is_released(home: Path) -> bool:
    state = load_state(home / "release")
    return state.serving is not None and state.pending is None


def test_who_trained_a_version_is_refused_in_words_on_the_page(home, page_of):
    with page_of("trainer", "1") as page:
        dialogue = give_alias(page, "champion")
        dialogue.get_by_text("only an approver moves the alias champion").wait_for()
        page.screenshot(path=PICTURES / "refused.png")
    denied = AuditLog(default_folder(home)).events(action="access.denied")[-1]
    assert (denied.actor, denied.subject) == ("trainer", "chest-xray/1")
    assert load_state(home / "release").serving is None


def test_an_approver_approves_and_the_page_shows_that_it_serves(home, page_of):
    with page_of("approver", "1") as page:
        give_alias(page, "champion").wait_for(state="hidden")
        page.screenshot(path=PICTURES / "approved.png")
        until(
            lambda: (served := load_state(home / "release")).serving is not None and served.pending is None, within_s=90
        )
        page.reload()
        row = page.get_by_role("row").filter(has_text="deployment.status")
        row.get_by_text("serving").wait_for()
        row.scroll_into_view_if_needed()
        page.screenshot(path=PICTURES / "serving.png")
    approved = AuditLog(default_folder(home)).events(action="model.approved")[-1]
    assert (approved.actor, approved.subject) == ("approver", "chest-xray/1")
