"""What the last gate asks of a finished package: whole, signed, explained, free of code, and the one evaluated."""

import re
from pathlib import Path

from imaging.errors import ThoraxError
from imaging.evaluation.export_gate import export_problems
from imaging.evaluation.identity import answers_digest
from imaging.evaluation.schema import Evaluation
from imaging.models.directory import PACKAGE_FILES, load_info
from imaging.models.manifest import code_problems, manifest_problems
from imaging.models.signature import verify_signature
from imaging.settings import Settings

PLACEHOLDER = re.compile(r"\b(TODO|TBD|nan|None)\b")


def check_package(package: Path, evaluation: Evaluation, *, sections: tuple[str, ...], settings: Settings) -> list[str]:
    """Return one sentence for each problem; none when the package may be registered.

    Args:
        package: The model directory, as `imaging.packaging.package_on_disk` writes it.
        evaluation: What the other gates were decided on.
        sections: Headings that the model card must have, with text below each.
        settings: Say whose signature is trusted.
    """
    problems = [f"{name} is missing" for name in PACKAGE_FILES if not (package / name).is_file()]
    if problems:
        return problems
    problems += manifest_problems(package) + code_problems(package)
    problems += signature_problems(package, settings)
    problems += card_problems((package / "model_card.md").read_text(), sections)
    return problems + binding_problems(package, evaluation) + export_problems(package, evaluation)


def signature_problems(package: Path, settings: Settings) -> list[str]:
    """Say why nobody who is trusted vouches for the package; nothing where somebody does."""
    try:
        verify_signature(package, settings)
    except ThoraxError as error:
        return [str(error)]
    return []


def card_problems(text: str, sections: tuple[str, ...]) -> list[str]:
    """Name each section the card lacks, or has without content."""
    if not sections:
        return ["the gate table names no section of the model card"]
    parts = re.split(r"^## +(.+?) *$", text, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    problems = [f"the model card has no section {name!r}" for name in sections if name not in found]
    problems += [f"the model card says nothing under {name!r}" for name in sections if not found.get(name, "x").strip()]
    mark = PLACEHOLDER.search(text)
    return problems + ([f"the model card holds a placeholder: {mark.group()}"] if mark else [])


def binding_problems(package: Path, evaluation: Evaluation) -> list[str]:
    """Check that the evaluation in the package is the one judged, and is about these weights and settings."""
    try:
        inside = Evaluation.model_validate_json((package / "evaluation.json").read_text())
    except ValueError:
        return ["the package's evaluation.json cannot be read"]
    problems = [] if inside == evaluation else ["the package holds another evaluation than the one judged"]
    try:
        answers, info = answers_digest(package), load_info(package)
    except (ThoraxError, OSError, ValueError) as error:
        return [*problems, f"the model cannot be read: {error}"]
    if (evaluation.model_name, evaluation.subject) != (info.name, info.subject):
        problems.append(f"the evaluation is about a {evaluation.model_name} of {evaluation.subject}s, not this model")
    if evaluation.test_part != "held_out":
        problems.append("the evaluation is of an external set, not of the dataset's own test part")
    if evaluation.digests.get("answers") != answers:
        problems.append("the evaluation is about other weights or settings than the package's")
    return problems
