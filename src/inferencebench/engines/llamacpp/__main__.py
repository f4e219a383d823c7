"""`python -m inferencebench.engines.llamacpp`: llama.cpp's server on a checkpoint (`serve`), and the converter.

The prebuilt xllamacpp wheel carries llama.cpp's server as a library without a command; this is its command.
"""

import argparse
import json
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from inferencebench.engines.llamacpp.convert import WEIGHTS, convert, ensure_gguf
from inferencebench.engines.llamacpp.options import add_arguments, common_params
from inferencebench.errors import BenchError, MissingError, UserError


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        if options.command == "convert":
            convert(options.model, options.out, options.weights)
            return 0
        return _serve(options)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _serve(options: argparse.Namespace) -> int:
    """Convert if needed, then serve until SIGTERM or SIGINT."""
    try:
        import xllamacpp
    except ImportError:
        raise MissingError("xllamacpp is not installed: pip install 'inferencebench[llamacpp]'") from None
    signals = {signal.SIGTERM, signal.SIGINT}
    with ExitStack() as stack:
        # A signal during the conversion must still remove a private directory.
        signal.signal(signal.SIGTERM, _leave)
        directory = options.gguf_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gguf.")))
        gguf = ensure_gguf(options.model, directory, options.weights)
        context_tokens = json.loads((options.model / "config.json").read_text())["max_position_embeddings"]
        options.served_name = options.served_name or options.model.name
        params = common_params(options, str(gguf), context_tokens)
        # Blocked in this thread before the server starts its own, so that none of them takes the signal from sigwait.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise UserError(f"llama.cpp does not start on {options.host}:{options.port}: {error}") from None
        signal.sigwait(signals)
        del server
    return 0


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inferencebench.engines.llamacpp", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    serve = commands.add_parser("serve", help="serve a checkpoint")
    serve.add_argument("--model", type=Path, required=True, help="checkpoint directory (safetensors and tokenizer)")
    serve.add_argument("--served-name", help="model id of the API (default: the directory's name)")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8080)
    serve.add_argument("--weights", choices=WEIGHTS, default="f16", help="format of the weights (default: f16)")
    serve.add_argument("--gguf-dir", type=Path, help="keep converted files here (default: a private directory)")
    add_arguments(serve)
    converter = commands.add_parser("convert", help="write a checkpoint as a GGUF file")
    converter.add_argument("--model", type=Path, required=True, help="checkpoint directory (safetensors and tokenizer)")
    converter.add_argument("--out", type=Path, required=True, help="file to write")
    converter.add_argument("--weights", choices=WEIGHTS, default="f16", help="format of the weights (default: f16)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
