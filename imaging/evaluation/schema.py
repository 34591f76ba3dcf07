"""`Evaluation`: everything measured about one model on one test part, as one frozen value that is also JSON.

A figure that could not be computed is `None`, never NaN and never a guess; the gates fail on it.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from imaging.config import Floors, Frozen
from imaging.evaluation.champion_schema import GroupDifference, PairedCalls
from imaging.evaluation.decision_curve_schema import Benefit
from imaging.evaluation.explanation_schema import Explanation
from imaging.evaluation.export_schema import Export
from imaging.evaluation.external_schema import External
from imaging.evaluation.figure import MISSING, Figure
from imaging.evaluation.operating_schema import OperatingRules
from imaging.evaluation.robustness_schema import Robustness
from imaging.evaluation.shortcuts_schema import Shortcuts
from imaging.evaluation.subgroup_schema import GroupSensitivity, PairCounts
from imaging.evaluation.uncertainty_schema import Uncertainty
from imaging.models.calibration_map import CalibrationTry, Method

SCHEMA_VERSION = 1

NOT_EVALUATED: tuple[str, ...] = ()
"""Rows of the gate table whose inputs do not exist in this version."""


class ClassMetrics(Frozen):
    """One class against the rest."""

    n_images: int
    n_patients: int
    decision: Literal["operating point", "argmax"]
    """What makes an image count as positive in sensitivity, specificity, PPV, NPV and F1."""
    operating_point: float | None
    auroc: Figure
    auroc_delong: Figure = MISSING
    """The same with DeLong's interval for clustered images: a cross-check of the bootstrap's."""
    average_precision: Figure = MISSING
    """Area under the precision-recall curve, without interpolation."""
    sensitivity_at_95_specificity: Figure = MISSING
    """At the lowest threshold that 95 in 100 images of other classes stay below; chosen on the test part itself."""
    specificity_at_95_sensitivity: Figure = MISSING
    """At the highest threshold that 95 in 100 images of the class reach; chosen on the test part itself."""
    sensitivity: Figure
    specificity: Figure
    ppv: Figure
    npv: Figure
    f1: Figure
    mcc: Figure = MISSING
    """Matthews' correlation between call and truth, -1 to 1."""


class Overall(Frozen):
    """All classes together. `brier` sums the squared errors over the classes (0 to 2); `nll` is in nats."""

    macro_auroc: Figure
    macro_average_precision: Figure = MISSING
    balanced_accuracy: Figure
    accuracy: Figure
    """The share of images, whatever their class, whose most probable class is the true one."""
    macro_f1: Figure
    mcc: Figure = MISSING
    """Correlation between true and most probable class, -1 to 1."""
    brier: Figure
    nll: Figure


class ReliabilityBin(Frozen):
    """Images of about the same confidence: how sure the model was, and how often it was right."""

    n_images: int
    confidence: float
    accuracy: float


class CalibrationSummary(Frozen):
    """Expected calibration error of the top class, before and after calibration, on the test part."""

    temperature: float
    method: Method = "temperature"
    tried: tuple[CalibrationTry, ...] = ()
    """How the method was chosen, on the calibration part."""
    bins: int
    """Of the plugin figures: equal in width."""
    debiased_bins: int
    """Of the debiased figures: equal in mass."""
    plugin_before: Figure
    plugin_after: Figure
    debiased_before: Figure
    debiased_after: Figure
    chance: float | None = None
    """What the debiased error of a perfectly calibrated model with these probabilities exceeds 1 time in 20."""
    change: Figure
    """Debiased, after minus before, paired."""
    equal_mass_before: Figure = MISSING
    equal_mass_after: Figure = MISSING
    """Plugin, with as many bins as the equal-width one."""
    maximum_before: Figure = MISSING
    maximum_after: Figure = MISSING
    """Of the worst of `debiased_bins` bins."""
    nll_before: Figure = MISSING
    nll_after: Figure = MISSING
    """Negative log-likelihood in nats."""
    brier_before: Figure = MISSING
    brier_after: Figure = MISSING
    reliability: tuple[ReliabilityBin, ...] = ()
    """After calibration, in the bins of the debiased figure."""


class Subgroup(Frozen):
    """One value of one column of the test part, or a pair of values of two."""

    column: str
    value: str
    is_pair: bool = False
    n_images: int
    n_patients: int
    patients_per_class: dict[str, int]
    powered: bool
    note: str = ""
    macro_auroc: Figure
    gap: Figure
    """Macro AUROC of all whose value of the column is recorded minus the subgroup's, paired."""
    gap_together: Figure = MISSING
    """The same with an interval that holds for all powered groups at once, or all pairs: what the gate reads."""
    adjusted_p: float | None = None
    """One-sided, that so large a gap is chance among as many groups, or pairs (step-down max-T)."""
    sensitivity: dict[str, GroupSensitivity] = Field(default_factory=dict)
    """Of each critical class at its operating point; reported, not judged."""


class SourceOfClass(Frozen):
    """Where one class's images come from, as shares of the class's images."""

    exclusive_share: float
    """From sources that hold no other class."""
    dominated_share: float
    """From sources where at least three images in four are of this class."""
    confounded: bool


class SourceConfounding(Frozen):
    """Whether the label can be read off the image's origin instead of the lungs."""

    column: str | None
    """The dataset column looked at; `None` when no column tells the origin."""
    n_sources: int
    cramers_v: float | None
    source_only_balanced_accuracy: float | None
    classes: dict[str, SourceOfClass]
    border_balanced_accuracy: Figure
    chance: float | None = None
    confounded: bool
    shortcut: bool
    """The border alone predicts the class clearly better than chance."""
    statements: tuple[str, ...]


class ChampionComparison(Frozen):
    """Challenger minus champion on the same images; `low` is the one-sided 95 % bound."""

    champion_digest: str
    delta_macro_auroc: Figure
    champion_macro_auroc: Figure
    problem: str = ""
    groups: tuple[GroupDifference, ...] = ()
    calls: tuple[PairedCalls, ...] = ()
    """McNemar's test; like `groups` it is shown, not judged."""


class Latency(Frozen):
    """One image at a time through the packaged preprocessing and network."""

    p50_ms: float | None
    p95_ms: float | None
    runs: int
    device: str


class SplitOverlap(Frozen):
    """What was found on two sides of the split."""

    patients: int
    duplicates: int


class Evaluation(Frozen):
    """One model on one test part."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = SCHEMA_VERSION
    model_name: str
    subject: Literal["radiograph", "picture"] = "radiograph"
    test_part: Literal["held_out", "external"] = "held_out"
    """The test part of the dataset that trained the model, or the whole of another dataset."""
    recipe: str
    architecture: str
    members: int = 1
    """Networks that answer together."""
    initial_weights: str
    classes: tuple[str, ...]
    critical_classes: tuple[str, ...]
    floors: Floors
    operating_points: dict[str, float]
    operating_point_rule: str
    n_images: int
    n_patients: int
    resamples: int
    seed: int
    per_class: dict[str, ClassMetrics]
    overall: Overall
    confusion: tuple[tuple[int, ...], ...]
    """Rows are the true class, columns the class with the highest probability."""
    calibration: CalibrationSummary
    subgroups: tuple[Subgroup, ...]
    subgroups_not_recorded: tuple[str, ...] = ()
    """Columns of subgroups in which the test part holds no value."""
    subgroup_pairs: PairCounts | None = None
    source_confounding: SourceConfounding
    champion: ChampionComparison | None
    latency: Latency
    overlap: SplitOverlap
    digests: dict[str, str]
    """`dataset`, `split` and `answers` (weights, preprocessing, temperature and operating points)."""
    robustness: Robustness | None = None
    external: External | None = None
    uncertainty: Uncertainty | None = None
    decision_curve: Benefit | None = None
    operating_rules: OperatingRules | None = None
    shortcuts: Shortcuts | None = None
    explanation: Explanation | None = None
    export: Export | None = None
    limits: tuple[str, ...]
    """What these figures do not show, in plain words, most important first."""
    not_evaluated: tuple[str, ...] = NOT_EVALUATED
