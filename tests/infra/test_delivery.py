"""The delivery workflow: in its order, by commands that are there, with a person before production."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "delivery.yaml").read_text())
JOBS = WORKFLOW["jobs"]
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def commands(job: str) -> str:
    return "\n".join(step.get("run", "") for step in JOBS[job]["steps"])


def test_nothing_is_deployed_that_was_not_checked_and_nothing_to_production_without_staging_and_a_person() -> None:
    assert JOBS["images"]["needs"] == "check"
    assert JOBS["staging"]["needs"] == "images"
    assert set(JOBS["production"]["needs"]) == {"images", "staging"}
    assert JOBS["production"]["environment"] == "production"


def test_every_make_target_and_every_image_that_it_names_is_there() -> None:
    for job in JOBS:
        assert set(re.findall(r"\bmake ([a-z-]+)", commands(job))) <= TARGETS
    built = (ROOT / "infra" / "images" / "build.sh").read_text()
    for image in re.search(r"for image in ([a-z -]+);", commands("images"))[1].split():
        assert f"]={image}" in built


def test_images_are_scanned_before_they_are_pushed_and_signed_by_digest() -> None:
    text = commands("images")
    assert text.index("trivy image") < text.index("docker push") < text.index("cosign sign")
    assert "RepoDigests" in text


def test_what_would_change_is_shown_before_it_is_applied() -> None:
    for job in ("staging", "production"):
        text = commands(job)
        assert text.index("kubectl diff") < text.index("kubectl apply --server-side") < text.index("rollout status")


def test_the_workflow_may_write_no_more_than_each_job_needs() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert JOBS["check"].get("permissions") is None
    assert JOBS["images"]["permissions"] == {"contents": "read", "packages": "write", "id-token": "write"}
