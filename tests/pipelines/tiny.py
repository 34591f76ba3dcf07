"""A pipeline of three small steps: it counts how often each ran, and fails or sleeps when told to."""

from kfp import dsl

IMAGE = "example/thorax-python:test"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def write_words(
    words: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    text: str,
    diary: str,
    options: dict = {},  # noqa: B006
):
    import sys
    from pathlib import Path

    with Path(diary).open("a") as file:
        file.write("write\n")
    sys.stdout.write("written to stdout\n")
    Path(words.path).mkdir()
    (Path(words.path) / "words.txt").write_text(text)
    metrics.log_metric("letters", len(text))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def check_words(words: dsl.Input[dsl.Dataset], forbidden: str, diary: str, sleep_s: float = 0.0) -> int:
    import time
    from pathlib import Path

    from imaging.errors import GateFailureError

    with Path(diary).open("a") as file:
        file.write("check\n")
    time.sleep(sleep_s)
    text = (Path(words.path) / "words.txt").read_text()
    if forbidden and forbidden in text:
        raise GateFailureError(f"expected no {forbidden!r}, got one")
    return len(text)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def tell_length(length: int, diary: str) -> str:
    from pathlib import Path

    with Path(diary).open("a") as file:
        file.write("tell\n")
    return f"{length} letters"


@dsl.pipeline(name="tiny")
def tiny(text: str, diary: str, forbidden: str = "", sleep_s: float = 0.0, options: dict = {}) -> str:  # noqa: B006
    written = write_words(text=text, diary=diary, options=options)
    checked = check_words(words=written.outputs["words"], forbidden=forbidden, diary=diary, sleep_s=sleep_s)
    checked.set_retry(3, backoff_duration="60s")
    checked.set_cpu_limit("2")
    told = tell_length(length=checked.output, diary=diary)
    told.set_caching_options(False)
    return told.output
