"""Generation by transformers' continuous batching: requests join and leave the running batch between two steps."""

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inferencebench.engines.pytorch.reference import Finish, Reference, ReferenceOptions, Token
from inferencebench.engines.pytorch.sampling import Sampling
from inferencebench.engines.pytorch.text import Detokenizer, StopFilter
from inferencebench.errors import UserError

NO_END = -1
"""As an end token: none, the answer has its full length."""
WARM_TOKEN = 1
"""Any token: its answer is not read."""
LOOK_S = 0.5
"""Between two looks whether a waiting request was given up."""


@dataclass(frozen=True)
class BatchOptions:
    """Options of the loop; None keeps transformers' own."""

    page_tokens: int | None = None
    blocks: int | None = None
    batch_tokens: int | None = None
    memory_share: float | None = None
    batch_requests: int | None = None
    share_prefixes: bool = True
    scheduler: str | None = None
    compile_level: int | None = None
    attention: str | None = None


class Batched(Reference):
    """A loaded model whose requests share one loop. `generate` may be called from any number of threads at once."""

    def __init__(self, options: ReferenceOptions, batch: BatchOptions) -> None:
        super().__init__(options)
        import transformers

        if batch.attention:
            self.model.set_attn_implementation(batch.attention)
        given = {
            "page_size": batch.page_tokens,
            "num_blocks": batch.blocks,
            "max_batch_tokens": batch.batch_tokens,
            "max_memory_percent": batch.memory_share,
            "max_requests_per_batch": batch.batch_requests,
            "scheduler_type": batch.scheduler,
            "default_compile_level": batch.compile_level,
        }
        # Processors for temperature and top-p exist only where the configuration asks for something but 1.0: these
        # values are replaced by each request's own.
        generation = transformers.GenerationConfig(
            do_sample=True, temperature=0.9, top_p=0.9, eos_token_id=sorted(self.end_tokens) or NO_END, pad_token_id=0
        )
        config = transformers.ContinuousBatchingConfig(
            per_request_processors=True,
            allow_block_sharing=batch.share_prefixes,
            **{name: value for name, value in given.items() if value is not None},
        )
        try:
            self._manager: Any = self.model.init_continuous_batching(generation, config)
        except (ValueError, TypeError) as error:
            raise UserError(f"transformers refuses these options: {error}") from None
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="results", daemon=True).start()
        self._manager.start()

    def warm_up(self) -> None:
        """One short answer: the loop compiles at its first request (16 s on one core), which belongs to the start.

        Raises UserError when the loop fails with these options."""
        try:
            self.generate(
                [WARM_TOKEN] * 2,
                Sampling(max_tokens=2, temperature=0.0, ignore_eos=True),
                lambda _: None,
                threading.Event(),
            )
        except RuntimeError as error:
            raise UserError(f"transformers fails with these options: {error}") from None

    def close(self) -> None:
        """End the loop."""
        self._manager.stop(block=True, timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def generate(
        self, prompt: list[int], sampling: Sampling, emit: Callable[[Token | Finish], None], stop: threading.Event
    ) -> None:
        """As the reference's, in the shared batch. A seed is not honoured: the batch draws from one stream.

        Raises RuntimeError when the loop failed."""
        name = f"chat-{next(self._numbers)}"
        results: queue.Queue[Any] = queue.Queue()

        async def register() -> None:
            self._manager.register_result_handler(name, results.put)

        asyncio.run_coroutine_threadsafe(register(), self._loop).result()
        accepted = self._manager.add_request(
            prompt,
            request_id=name,
            max_new_tokens=sampling.max_tokens,
            streaming=True,
            eos_token_id=NO_END if sampling.ignore_eos else (sorted(self.end_tokens) or NO_END),
            # The smallest temperature of the processor stands for greedy: the best token has all the weight.
            temperature=1e-4 if sampling.greedy else sampling.temperature,
            top_p=sampling.top_p,
        )
        if accepted is None:
            raise RuntimeError("the batch takes no more requests")
        output = _Stream(self, sampling, emit)
        try:
            while not output.ended and not stop.is_set():
                try:
                    result = results.get(timeout=LOOK_S)
                except queue.Empty:
                    if not self._manager.is_running():
                        raise RuntimeError("the batching loop has ended") from None
                    continue
                if result.error:
                    raise RuntimeError(str(result.error))
                output.seen(result.generated_tokens, finished=result.is_finished())
        finally:
            if not output.finished:
                self._manager.cancel_request(name)
        emit(output.finish())


class _Stream:
    """Turns the growing list of tokens of one request into what the server emits."""

    def __init__(self, model: Batched, sampling: Sampling, emit: Callable[[Token | Finish], None]) -> None:
        self._ends = frozenset() if sampling.ignore_eos else model.end_tokens
        self._emit = emit
        self._detokenizer = Detokenizer(model.decode)
        self._filter = StopFilter(sampling.stop)
        self._count = 0
        self._stopped = False
        self.finished = False

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be emitted."""
        return self.finished or self._filter.stopped

    def seen(self, tokens: list[int], *, finished: bool) -> None:
        """All tokens so far; the new ones are emitted."""
        for token in tokens[self._count :]:
            if self._filter.stopped:
                break
            self._count += 1
            self._stopped = token in self._ends
            self._emit(Token(token, self._filter.push(self._detokenizer.push(token))))
        self.finished = finished

    def finish(self) -> Finish:
        """The end of the answer, with the text that was held back."""
        text = self._filter.push(self._detokenizer.flush()) + self._filter.flush()
        return Finish("stop" if self._stopped or self._filter.stopped else "length", self._count, text)
