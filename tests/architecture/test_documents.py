"""What the documents promise is there."""

import re
from pathlib import Path

import pytest

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_has_no_gap_left_to_fill(name: str, root: Path) -> None:
    text = (root / name).read_text()
    assert "@@" not in text
    assert len(text) > 500


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_to_a_file_leads_somewhere(name: str, root: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (root / name).read_text()):
        assert (root / target).exists(), target


def test_every_recipe_the_readme_names_exists(root: Path) -> None:
    from imaging.recipes import RECIPES

    line = next(line for line in (root / "README.md").read_text().splitlines() if line.startswith("Recipes: "))
    named = re.findall(r"`(\w+_\w+)`", line)
    assert len(named) >= 4
    assert set(named) <= set(RECIPES)
