"""`inferencebench run`: one agent on one scenario, from a workspace to a scored record."""

from pathlib import Path
from typing import Annotated

import typer

from inferencebench.cli.common import JsonOption, OutOption, print_json, stderr

SandboxOption = Annotated[
    str,
    typer.Option("--sandbox", help="auto, bubblewrap, unshare (root), podman, apptainer, or process (never ranked)."),
]
LongbenchOption = Annotated[
    Path | None, typer.Option("--longbench", help="Local LongBench v2 JSONL instead of the hub.", metavar="FILE")
]
MmluOption = Annotated[
    Path | None, typer.Option("--mmlu-pro", help="Local MMLU-Pro JSONL instead of the hub.", metavar="FILE")
]
SeedOption = Annotated[str | None, typer.Option("--seed-pair", help="DEV,EVAL; default: the suite's first pair.")]
ScaleOption = Annotated[
    float,
    typer.Option("--scale", help="Shorten outputs and counts by this factor; its records never mix with full ones."),
]
PromptOption = Annotated[str, typer.Option("--prompt", help="Wording of the task: default, structured, ledger.")]
StartOption = Annotated[
    str, typer.Option("--start", help="Warm start: 'empty', or an engine whose default launcher lies there already.")
]
EngineOnlyOption = Annotated[
    str | None, typer.Option("--engine-only", help="The only engine that the submission may run.")
]
NetOption = Annotated[
    str,
    typer.Option("--net", help="What the agent reaches: none, mirror (package registries), open (the web, logged)."),
]
BudgetOption = Annotated[str | None, typer.Option("--budget", help="Wall clock of the agent: 90s, 30m, 2h.")]
ModelOption = Annotated[str | None, typer.Option("--model-source", help="'hub' fetches the base model from the hub.")]


def run(
    suite: Annotated[str, typer.Argument(help="Name of a built-in suite, or a TOML file.")],
    scenario: Annotated[
        str,
        typer.Argument(
            help="prefill, decode, throughput or balanced (or A, B, C, D); several as A,B: equal submissions are then "
            "measured on one launch."
        ),
    ],
    agent: Annotated[
        str,
        typer.Argument(help="engine:NAME, search:SAMPLER?engine=NAME, script:PATH, or KIND:MODEL of `agents list`."),
    ],
    out: OutOption = Path("runs"),
    budget: BudgetOption = None,
    prompt: PromptOption = "default",
    start: StartOption = "empty",
    engine_only: EngineOnlyOption = None,
    net: NetOption = "none",
    seed_pair: SeedOption = None,
    repeat: Annotated[int, typer.Option("--repeat", min=0, help="Number of an explicit repeat of the same run.")] = 0,
    sandbox: SandboxOption = "auto",
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", help="Import the baseline from another campaign directory.", metavar="DIR"),
    ] = None,
    share_device: Annotated[
        bool, typer.Option("--share-device", help="Run beside others on this machine; measured, never ranked.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for another process that works on this run, instead of refusing.")
    ] = False,
    check_machine: Annotated[
        bool,
        typer.Option("--preflight", help="Check device, disk, memory and neighbours first; refuse to start if bad."),
    ] = False,
    longbench: LongbenchOption = None,
    mmlu_pro: MmluOption = None,
    model_source: ModelOption = None,
    scale: ScaleOption = 1.0,
    json: JsonOption = False,
) -> None:
    """Run an agent, relaunch what it leaves, measure, gate and score it.

    The same command continues a run that was interrupted, and prints a finished one.

    Example: inferencebench run laptop-mini decode engine:llamacpp --out runs
    """
    from inferencebench.cli import request
    from inferencebench.cli.progress import LiveReporter
    from inferencebench.cli.show import show_result
    from inferencebench.run import pipeline
    from inferencebench.run.bench import Sources
    from inferencebench.suites.load import load
    from inferencebench.suites.scale import scaled

    the_suite = scaled(load(suite), scale)
    sources = Sources(longbench, mmlu_pro, model_source)
    common = request.Common(out, sandbox, sources, baseline, share_device)
    condition = request.condition(budget, prompt, start, engine_only, net)
    specs = [
        request.spec(
            the_suite,
            name,
            agent,
            common,
            condition=condition,
            pair=request.seed_pair(seed_pair, the_suite),
            repeat=repeat,
        )
        for name in dict.fromkeys(scenario.split(","))
    ]
    with LiveReporter(stderr()) as reporter:
        bench = request.bench(the_suite, common, reporter)
        results = pipeline.run_together(specs, bench, wait=wait, check_machine=check_machine)
    if json:
        print_json(results[0] if len(results) == 1 else [result.model_dump(mode="json") for result in results])
    else:
        for spec, result in zip(specs, results, strict=True):
            show_result(result, spec.directory(out))
