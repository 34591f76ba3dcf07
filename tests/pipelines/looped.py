"""A pipeline with a loop: it says how many items there are, squares each, and adds them up."""

from typing import List  # noqa: UP035

from kfp import dsl

IMAGE = "example/thorax-python:test"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def count_items(count: int) -> list:
    return list(range(count))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def square_item(item: int, square: dsl.Output[dsl.Artifact], unlucky: int, diary: str) -> int:
    from pathlib import Path

    from imaging.errors import GateFailureError

    with Path(diary).open("a") as file:
        file.write(f"{item}\n")
    if item == unlucky:
        raise GateFailureError(f"expected another item than {item}")
    Path(square.path).write_text(str(item * item))
    return item


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def add_squares(squares: dsl.Input[List[dsl.Artifact]], items: list) -> str:  # noqa: UP006
    from pathlib import Path

    return " ".join(Path(square.path).read_text() for square in squares) + f" of {len(items)}"


@dsl.pipeline(name="looped")
def looped(count: int, diary: str, unlucky: int = -1) -> str:
    counted = count_items(count=count)
    with dsl.ParallelFor(items=counted.output, parallelism=2) as item:
        squared = square_item(item=item, unlucky=unlucky, diary=diary)
    collected = {"squares": dsl.Collected(squared.outputs["square"]), "items": dsl.Collected(squared.outputs["Output"])}
    return add_squares(**collected).output
