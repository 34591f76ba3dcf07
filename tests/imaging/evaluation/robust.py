"""A model that hardly minds changed images, as figures."""

from imaging.evaluation.corruptions import CORRUPTIONS
from imaging.evaluation.robustness_schema import Attacked, Corrupted, Robustness
from imaging.evaluation.schema import Figure


def steady_robustness(*, severities: int = 1) -> Robustness:
    """Robustness with drops of 0.01 at each severity."""
    rows = [
        Corrupted(
            corruption=name,
            title=one.title,
            severity=level + 1,
            level=one.texts[level],
            gated=one.gated and level == 0,
            macro_auroc=Figure(value=0.95 - 0.01 * (level + 1), low=0.9, high=0.97),
            drop=Figure(value=0.01 * (level + 1), low=-0.01, high=0.04),
            lowest_drop=-0.02 if one.gated and level == 0 else None,
            changed=0.05,
        )
        for name, one in CORRUPTIONS.items()
        for level in range(min(severities, len(one.levels)))
    ]
    right = Figure(value=0.9, low=0.8, high=1.0)
    return Robustness(
        n_images=60,
        n_patients=40,
        every_severity=severities > 1,
        macro_auroc=Figure(value=0.95, low=0.9, high=0.98),
        corruptions=tuple(rows),
        attacked_images=24,
        accuracy=right,
        attacks=tuple(Attacked(epsilon=step, accuracy=right, changed=0.0) for step in (1, 2, 4)),
    )
