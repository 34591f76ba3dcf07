"""The rollout plan's file."""

import pytest
import yaml

from imaging.errors import ConfigurationError
from serving.release.plan import DEFAULT, load_plan


def test_the_platforms_own_plan_goes_from_shadow_over_shares_to_all():
    assert [step.name for step in load_plan(None).steps] == ["shadow", "canary 10 %", "canary 50 %"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": [{"kind": "canary", "seconds": 1, "requests": 0}]}, "share above 0"),
        ({"steps": [{"kind": "shadow", "share": 0.5, "seconds": 1, "requests": 0}]}, "share above 0"),
        ({"steps": [{"kind": "canary", "share": 1.0, "seconds": 1, "requests": 0}]}, "less than 1"),
        ({"steps": [{"kind": "canary", "share": 0.5, "seconds": -1, "requests": 0}]}, "greater than or equal"),
        ({"steps": [{"kind": "blue", "seconds": 1, "requests": 0}]}, "shadow"),
        ({"bounds": {}}, "error_rate"),
        ({"schema_version": 2}, "schema_version"),
        ({"stepz": []}, "stepz"),
        (
            {"steps": [{"kind": "canary", "share": share, "seconds": 1, "requests": 0} for share in (0.5, 0.1)]},
            "smaller share",
        ),
    ],
)
def test_what_is_no_plan_is_refused_with_its_place(tmp_path, change, said):
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(DEFAULT.read_text()) | change))
    with pytest.raises(ConfigurationError, match=r"no rollout plan") as raised:
        load_plan(path)
    assert said in str(raised.value)


@pytest.mark.parametrize("content", [None, "steps: [", "\x00"])
def test_a_file_that_cannot_be_read_is_told(tmp_path, content):
    path = tmp_path / "plan.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_plan(path)
