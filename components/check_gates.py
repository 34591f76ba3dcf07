"""Hold a packaged model against every gate."""

from kfp import dsl

from components import images


@dsl.component(base_image=images.TRAINER, install_kfp_package=False)
def check_gates(
    package: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    gates: dsl.Output[dsl.Artifact],
) -> str:
    """Answer every gate of the platform's table, record the answers, and stop the run unless all passed.

    Never reused from an earlier run, and the table is the installed one: no parameter can soften it.

    Args:
        package: The final model directory.
        evaluation: What `evaluate_model` wrote.
        gates: The folder of `gates.json` and `gates.html`, written also when a gate fails.

    Returns:
        The digest of the gate table.

    Raises:
        GateFailureError: if any gate failed; the message names each, its figure and its bound.
    """
    from pathlib import Path

    from components.gate_record import answer_gates

    report = answer_gates(Path(package.path), Path(evaluation.path), Path(gates.path))
    gates.metadata["table_digest"] = report.table_digest
    return report.table_digest
