"""`inferencebench baseline`: measure the PyTorch baseline of a suite ahead of any run."""

from pathlib import Path
from typing import Annotated

import typer

from inferencebench.cli.common import JsonOption, OutOption, print_json, stderr
from inferencebench.cli.run import LongbenchOption, MmluOption, ModelOption, SandboxOption, ScaleOption, SeedOption


def baseline(
    suite: Annotated[str, typer.Argument(help="Name of a built-in suite, or a TOML file.")],
    scenario: Annotated[list[str] | None, typer.Argument(help="Scenarios; default: all of the suite.")] = None,
    out: OutOption = Path("runs"),
    seed_pair: SeedOption = None,
    sandbox: SandboxOption = "auto",
    longbench: LongbenchOption = None,
    mmlu_pro: MmluOption = None,
    model_source: ModelOption = None,
    scale: ScaleOption = 1.0,
    json: JsonOption = False,
) -> None:
    """Measure the PyTorch baseline of each scenario; runs in the same directory then use it.

    Example: inferencebench baseline laptop decode prefill --out runs
    """
    from inferencebench.cli import request
    from inferencebench.cli.progress import LiveReporter
    from inferencebench.cli.show import show_result
    from inferencebench.errors import InfrastructureError
    from inferencebench.run import pipeline
    from inferencebench.run.bench import Sources
    from inferencebench.run.record import Outcome
    from inferencebench.run.spec import BASELINE_AGENT
    from inferencebench.suites.load import load
    from inferencebench.suites.scale import scaled

    the_suite = scaled(load(suite), scale)
    common = request.Common(out, sandbox, Sources(longbench, mmlu_pro, model_source))
    pair = request.seed_pair(seed_pair, the_suite)
    names = scenario or [s.name.value for s in the_suite.scenarios]
    specs = [request.spec(the_suite, name, BASELINE_AGENT, common, pair=pair) for name in names]
    with LiveReporter(stderr()) as reporter:
        bench = request.bench(the_suite, common, reporter)
        results = [pipeline.run(spec, bench) for spec in specs]
    failed = [result for result in results if result.outcome is not Outcome.PASSED]
    if json:
        print_json([result.model_dump(mode="json") for result in results])
    for spec, result in zip(specs, results, strict=True) if not json else ():
        show_result(result, spec.directory(out))
    if failed:
        raise InfrastructureError(f"the baseline did not pass on {failed[0].scenario}: {failed[0].reason}")
