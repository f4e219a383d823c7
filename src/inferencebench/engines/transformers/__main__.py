"""`python -m inferencebench.engines.transformers serve`: continuous batching in the foreground."""

import argparse
import sys
from pathlib import Path

from inferencebench.engines.pytorch.reference import DTYPES, ReferenceOptions
from inferencebench.engines.transformers.batching import Batched, BatchOptions
from inferencebench.errors import BenchError


def main(argv: list[str] | None = None) -> int:
    """Parse, load, serve until SIGTERM or SIGINT. Returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        model = Batched(
            ReferenceOptions(model=options.model, dtype=options.dtype, device=options.device, threads=options.threads),
            BatchOptions(
                page_tokens=options.page_tokens,
                blocks=options.blocks,
                batch_tokens=options.batch_tokens,
                memory_share=options.memory_share,
                batch_requests=options.batch_requests,
                share_prefixes=not options.no_prefix_sharing,
                scheduler=options.scheduler,
                compile_level=options.compile_level,
                attention=options.attention,
            ),
        )
        model.warm_up()
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    import uvicorn

    from inferencebench.engines.pytorch.server import create_app

    app = create_app(model, options.served_name or options.model.name)
    # A request that is still generating must not hold up the end of the server.
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", timeout_graceful_shutdown=1)
    model.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inferencebench.engines.transformers", description=__doc__)
    serve = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("serve", help="serve a checkpoint")
    serve.add_argument("--model", type=Path, required=True, help="checkpoint directory")
    serve.add_argument("--served-name", help="model id of the API (default: the directory's name)")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--dtype", choices=DTYPES, default="auto", help="default: the checkpoint's")
    serve.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (default: auto)")
    serve.add_argument("--threads", type=int, help="CPU threads (default: the affinity mask's cores)")
    serve.add_argument("--page-tokens", type=int, help="tokens of one page of the cache")
    serve.add_argument("--blocks", type=int, help="blocks of the cache (default: by free memory)")
    serve.add_argument("--batch-tokens", type=int, help="most tokens of one step (default: by free memory)")
    serve.add_argument("--memory-share", type=float, help="share of free GPU memory for the cache")
    serve.add_argument("--batch-requests", type=int, help="most requests of one step")
    serve.add_argument("--no-prefix-sharing", action="store_true", help="compute every prompt anew")
    serve.add_argument("--scheduler", choices=("fifo", "prefill_first"), help="what to run first")
    serve.add_argument("--compile-level", type=int, choices=(0, 1, 2, 3), help="torch.compile, 0 is off")
    serve.add_argument("--attention", help="attention implementation")
    return parser


if __name__ == "__main__":
    sys.exit(main())
