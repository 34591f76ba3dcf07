"""Search for better settings of a recipe, by the validation part only.

`space` says what may vary, `proposals` spreads settings over it at once (for a pipeline), `search` proposes one after
the other from what came before (for one machine). `trial` trains one setting; it never sees a test image. Optuna
chooses and prunes; it is imported when first used.
"""

from imaging.tuning.space import Space, check_space, parse_space

__all__ = ["Space", "check_space", "parse_space"]
