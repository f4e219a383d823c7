"""`inferencebench measure`: any OpenAI-compatible server, measured by the load client."""

from dataclasses import replace

import typer

from inferencebench.cli import load_options as options
from inferencebench.cli.common import EXIT_INTERRUPTED, JsonOption, notes, print_json, stderr, stdout


def measure(
    url: options.Url,
    suite: options.SuiteOption = None,
    scenario: options.ScenarioOption = None,
    requests: options.RequestsOption = None,
    arrival: options.ArrivalOption = None,
    rate: options.RateOption = None,
    concurrency: options.ConcurrencyOption = None,
    limit: options.LimitOption = None,
    duration: options.DurationOption = None,
    warmup: options.WarmupOption = None,
    seed: options.SeedOption = 1,
    timeout: options.TimeoutOption = None,
    api_key_env: options.KeyOption = None,
    cacert: options.CacertOption = None,
    insecure: options.InsecureOption = False,
    model: options.ModelOption = None,
    tokenizer: options.TokenizerOption = None,
    slo: options.SloOption = None,
    usd_per_hour: options.PriceOption = None,
    samples: options.SamplesOption = None,
    plot: options.PlotOption = None,
    recorder: options.RecorderOption = "auto",
    json: JsonOption = False,
) -> None:
    """Measure a running server: TTFT, ITL, TPOT, throughput, from the send and from the schedule.

    With --suite the scenario's own load, unless --arrival or --concurrency give another. With --requests the default is
    a burst; poisson where --rate is given, closed where --duration is. The exit code is 0 whatever the server answered,
    nothing included: a script asks `valid` of the record (--json).

    Example: inferencebench measure http://127.0.0.1:8000 --suite laptop --scenario decode --json
    """
    from inferencebench.cli.live import LiveLoad, interruptible
    from inferencebench.load import session
    from inferencebench.load.goodput import parse_slo

    level, timeout_s = parse_slo(slo or ()), options.seconds(timeout)
    load = options.chosen_load(arrival, rate, concurrency, limit, duration, seed)
    recording = options.known_recorder(recorder)
    what = options.sending(suite, scenario, requests, tokenizer, warmup)
    options.check_outputs(samples, plot)
    api, name = options.server(url, api_key_env, model, cacert, insecure)
    with LiveLoad(stderr()) as live:
        work = options.work_of(what, name, load, live.note)
        work = replace(options.judged(work, timeout_s, level, usd_per_hour), recorder=recording)
        with interruptible() as stop:
            measured = session.measure(api.target(), api.url, work, live.show, stop)
    if samples is not None:
        from inferencebench.load.store import write_tables

        write_tables(samples, samples.with_suffix(".requests.parquet"), measured.samples)
    if plot is not None:
        from inferencebench.plots.measurement import measurement_chart
        from inferencebench.plots.render import save

        save(measurement_chart(measured.record, measured.samples), plot)
    if json:
        print_json(measured.record)
    else:
        from inferencebench.cli.measure_show import show_measurement

        show_measurement(stdout(), measured.record)
    notes(f"not valid: {reason}" for reason in measured.record.invalid_reasons)
    if stop.is_set():
        raise typer.Exit(EXIT_INTERRUPTED)
