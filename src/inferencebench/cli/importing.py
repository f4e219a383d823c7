"""`inferencebench import`: a result of `vllm bench serve`, by our metrics."""

from pathlib import Path
from typing import Annotated

import typer

from inferencebench.cli import load_options as options
from inferencebench.cli.common import JsonOption, notes, print_json, stdout


def import_result(
    file: Annotated[Path, typer.Argument(help="Written by `vllm bench serve --save-result --save-detailed`.")],
    slo: options.SloOption = None,
    usd_per_hour: options.PriceOption = None,
    plot: options.PlotOption = None,
    json: JsonOption = False,
) -> None:
    """Read a result of `vllm bench serve` as a measurement: the same metrics, goodput, cost and pictures.

    Its times are vLLM's own, with that client's error in them. `compare` takes such files as they are.

    Example: inferencebench import vllm-8qps.json --slo ttft=500ms --usd-per-hour 2.5
    """
    from inferencebench.load import session, vllm_bench
    from inferencebench.load.goodput import parse_slo

    options.check_outputs(None, plot)
    level = parse_slo(slo or ())
    value = vllm_bench.read(file)
    samples = vllm_bench.samples(file, value)
    work = options.judged(vllm_bench.work(file, value), None, level, usd_per_hour)
    record = session.record(str(value.get("base_url", vllm_bench.CLIENT)), work, samples)
    if plot is not None:
        from inferencebench.plots.measurement import measurement_chart
        from inferencebench.plots.render import save

        save(measurement_chart(record, samples), plot)
    if json:
        print_json(record)
    else:
        from inferencebench.cli.measure_show import show_measurement

        show_measurement(stdout(), record)
    notes(f"not valid: {reason}" for reason in record.invalid_reasons)
