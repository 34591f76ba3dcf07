"""Each row of the threat model is shown by tests that are there."""

import re
from pathlib import Path

ROWS = [
    line.split("|")[1:-1]
    for line in Path("serving/README.md")
    .read_text()
    .partition("## Threat model")[2]
    .partition("\nNot shielded")[0]
    .splitlines()
    if re.match(r"\| [STRIDE] \|", line)
]
ATTACKS = [
    line.split("|")[1:-1]
    for line in Path("README.md").read_text().partition("| attack |")[2].partition("\n\n")[0].splitlines()
    if "`test_" in line
]
SOURCES = "\n".join(path.read_text() for path in sorted(Path("tests").rglob("test_*.py")))


def test_every_letter_of_stride_has_a_row() -> None:
    assert {row[0].strip() for row in ROWS} == set("STRIDE")


def test_every_row_names_tests_that_exist() -> None:
    for _, threat, shield, tests in ROWS:
        names = re.findall(r"`(test_\w+)`", tests)
        assert names, threat
        assert shield.strip()
        missing = [name for name in names if f"def {name}(" not in SOURCES]
        assert not missing, (threat, missing)


def test_every_attack_that_the_readme_lists_names_tests_that_exist() -> None:
    assert len(ATTACKS) >= 7
    for attack, what_happens, tests in ATTACKS:
        names = re.findall(r"`(test_\w+)`", tests)
        assert what_happens.strip()
        missing = [name for name in names if f"def {name}(" not in SOURCES]
        assert names, attack
        assert not missing, (attack, missing)
