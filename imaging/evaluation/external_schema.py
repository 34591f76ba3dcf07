"""What an evaluation says about a second dataset."""

from imaging.config import Frozen
from imaging.evaluation.figure import Figure


class External(Frozen):
    """The same model on every image of a dataset that it was not made from."""

    dataset: str
    """The version's digest."""
    n_images: int
    n_patients: int
    images_per_class: dict[str, int]
    macro_auroc: Figure
    balanced_accuracy: Figure
    calibration_error: Figure
    """Debiased, as on the own test part."""
    macro_auroc_drop: Figure
    """The own test part's minus this one's; the patients are others, and so the draws are independent."""
    balanced_accuracy_drop: Figure

    @property
    def lacking(self) -> tuple[str, ...]:
        """Classes without an image; then there is no figure over all classes."""
        return tuple(name for name, count in self.images_per_class.items() if not count)
