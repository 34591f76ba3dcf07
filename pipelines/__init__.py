"""What runs after what: the pipelines by name, and how to run, compile and submit them.

Steps are `components`' business, needs of each step are one table in `resources`. Loading this package loads
KFP (about a second), so the command line imports it inside its commands.
"""

from typing import Any

from pipelines.cross_validation import cross_validate
from pipelines.drift import watch_drift
from pipelines.retraining import retrain
from pipelines.search import search_hyperparameters
from pipelines.training import train_classifier

PIPELINES: dict[str, Any] = {  # KFP types a pipeline as a plain function
    "train-classifier": train_classifier,
    "cross-validate": cross_validate,
    "search-hyperparameters": search_hyperparameters,
    "watch-drift": watch_drift,
    "retrain": retrain,
}
