"""What is kept of subgroups beyond their AUROC: sensitivity, and how many pairs of columns were looked at."""

from imaging.config import Frozen
from imaging.evaluation.figure import Figure


class GroupSensitivity(Frozen):
    """How many of a group's patients with one disease are called, at the model's operating point."""

    n_patients: int
    """With the disease."""
    powered: bool
    sensitivity: Figure
    gap: Figure
    """Sensitivity in everybody whose value of the column is recorded minus the group's, paired."""


class PairCounts(Frozen):
    """What became of the groups that two columns make together, such as women seen from the front."""

    judged: int
    underpowered: int
    """Too few patients: counted, and not shown one by one."""
    repeated: int
    """The same images as a group shown already, as where all women are from one site."""
