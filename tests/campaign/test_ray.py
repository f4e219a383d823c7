"""The Ray executor without a Ray: a stand-in of the library that keeps actors. A real one is in tests/cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from inferencebench.campaign.executors.batch import command, exit_file, read_end, write_orders
from inferencebench.campaign.executors.contract import Finds, Life, Order
from inferencebench.campaign.executors.ray import ANSWER_S, WAITING, RayExecutor
from inferencebench.campaign.model import Placement
from tests.campaign.test_driver import cache, quick
from tests.campaign.test_second_chances import check_interruptions_use_up_no_attempt

__all__ = ["cache", "quick"]


class Method:
    """A method of a remote actor; called, it gives a reference."""

    def __init__(self, call: Any) -> None:
        self.remote = call


class Actor:
    """One that has a place answers; one that waits for it does not."""

    def __init__(self, name: str, namespace: str, order: tuple[str, int], runs: bool) -> None:
        self.name, self.namespace, self.order, self.runs = name, namespace, order, runs
        self.told = False
        self.where = Method(lambda: (self, object()))
        self.cancel = Method(lambda: setattr(self, "told", True))


class Ray(ModuleType):
    """The part of the library that the executor uses, with a cluster at `there`, if any. `clock`: seconds waited."""

    def __init__(self, there: str | None, room: int) -> None:
        super().__init__("ray")
        self.__spec__ = ModuleSpec("ray", None)
        self._there, self._room = there, room
        self._on: str | None = None
        self.actors: dict[str, Actor] = {}
        self.started, self.clock = 0, 0.0
        self.killed: list[str] = []
        errors = {"RayError": type("RayError", (Exception,), {})}
        errors["ActorUnavailableError"] = type("ActorUnavailableError", (errors["RayError"],), {})
        self.exceptions = SimpleNamespace(**errors)
        self.util = SimpleNamespace(list_named_actors=self._list)

    def is_initialized(self) -> bool:
        return self._on is not None

    def init(self, address: str, **options: object) -> None:
        if address == "local":
            self.started += 1
        elif self._there is None:
            raise ConnectionError("no running Ray")
        self._on = address

    def shutdown(self) -> None:
        """A local cluster's runs are told to end, and say so."""
        if self._on == "local":
            for actor in self.actors.values():
                if actor.runs:
                    wrote(*actor.order, 130, told=True)
            self.actors.clear()
        self._on = None

    def remote(self, runner: object) -> Any:
        return SimpleNamespace(options=self._options)

    def _options(self, name: str, namespace: str, **more: object) -> Any:
        def begin(orders: str, index: int, python: str) -> None:
            runs = sum(actor.runs for actor in self.actors.values()) < self._room
            self.actors[name] = Actor(name, namespace, (orders, index), runs)

        return Method(begin)

    def get_actor(self, name: str, namespace: str) -> Actor:
        if name not in self.actors:
            raise ValueError(f"Failed to look up actor with name {name!r}")
        return self.actors[name]

    def _list(self, all_namespaces: bool) -> list[dict[str, str]]:
        assert all_namespaces
        return [{"name": actor.name, "namespace": actor.namespace} for actor in self.actors.values()]

    def wait(self, refs: Sequence[Any], num_returns: int = 1, timeout: float = 0.0) -> tuple[list[Any], list[Any]]:
        assert num_returns <= len(set(refs)) == len(refs)
        ready = [ref for ref in refs if ref[0].runs or ref[0].name not in self.actors]
        self.clock += timeout if len(ready) < num_returns else 0.0
        return ready[:num_returns], [ref for ref in refs if ref not in ready[:num_returns]]

    def get(self, ref: Any) -> str:
        if ref[0].name not in self.actors:
            raise self.exceptions.RayError("The actor died")
        return "h node=1 gpus= pid=2"

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor.name)
        del self.actors[actor.name]


def wrote(orders: str, index: int, code: int, *, told: bool = False) -> None:
    """What a wrapper leaves."""
    exit_file(Path(orders), index).write_text(json.dumps({"task": "t", "exit_code": code, "told": told}))


def ray(monkeypatch: pytest.MonkeyPatch, there: str | None = "auto", room: int = 1000) -> Ray:
    made = Ray(there, room)
    monkeypatch.setitem(sys.modules, "ray", made)
    return made


def executor(folder: Path) -> RayExecutor:
    return RayExecutor(Placement(kind="ray"), folder / "ray")


def orders(folder: Path, count: int) -> list[Order]:
    return [Order(f"t-{n}", ("true",), 0, 90.0, folder / f"{n}.log", {}) for n in range(count)]


def test_cancelling_asks_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = ray(monkeypatch, room=2)
    it = executor(tmp_path)
    handles = it.place(orders(tmp_path, 30))
    runs = [name for name, actor in stub.actors.items() if actor.runs]
    it.cancel([*handles.values(), f"none:0:{tmp_path}/none.json"])
    assert stub.clock == ANSWER_S
    assert list(stub.actors) == runs, "what waited is gone"
    assert len(stub.killed) == 28
    assert all(actor.told for actor in stub.actors.values())
    it.cancel([])


def test_what_waits_counts_for_the_next_driver_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray(monkeypatch, room=1)
    handles = executor(tmp_path).place(orders(tmp_path, WAITING + 1))
    again = executor(tmp_path)
    again.poll(list(handles.values()))
    assert again.free() == 0
    again.cancel(list(handles.values()))
    again.poll(list(handles.values()))
    assert again.free() == WAITING


def test_actors_that_nobody_wrote_down_are_found_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray(monkeypatch, room=1)
    handles = executor(tmp_path).place(orders(tmp_path, 3))
    executor(tmp_path / "other").place(orders(tmp_path, 3))
    it = executor(tmp_path)
    assert isinstance(it, Finds)
    assert it.lost({"t-0", "t-2", "t-9"}) == {"t-0": handles["t-0"], "t-2": handles["t-2"]}
    it.cancel([handles["t-2"]])
    assert it.lost({"t-2"}) == {}


def test_runs_outlive_their_driver_on_a_cluster_and_end_with_it_on_a_local_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = ray(monkeypatch)
    it = executor(tmp_path)
    handles = it.place(orders(tmp_path, 1))
    it.close()
    assert it.detached
    assert it.poll(list(handles.values()))[handles["t-0"]].life is Life.RUNNING
    stub = ray(monkeypatch, there=None)
    it = executor(tmp_path)
    handles = it.place(orders(tmp_path, 4))
    assert not it.detached
    for task, code in (("t-0", 4), ("t-1", None)):
        actor = stub.actors.pop(handles[task].partition(":")[0])
        if code is not None:
            wrote(*actor.order, code)
    it.close()
    ends = it.poll(list(handles.values()))
    assert (ends[handles["t-0"]].life, ends[handles["t-0"]].exit_code) == (Life.ENDED, 4), "it had ended by itself"
    assert [ends[handles[f"t-{n}"]].life for n in (1, 2, 3)] == [Life.LOST] * 3
    assert stub.started == 1, "asking starts no other cluster"
    again = executor(tmp_path)
    assert again.poll([handles["t-2"]])[handles["t-2"]].life is Life.LOST, "also as the next driver sees it"


def test_a_run_that_dies_on_a_local_cluster_did_not_end_with_its_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be placed again for ever."""
    stub = ray(monkeypatch, there=None)
    it = executor(tmp_path)
    (handle,) = it.place(orders(tmp_path, 1)).values()
    assert it.poll([handle])[handle].life is Life.RUNNING
    stub.actors.clear()
    end = it.poll([handle])[handle]
    assert (end.life, end.exit_code, end.reason) == (Life.ENDED, None, "no such actor")


def test_an_interrupted_driver_of_a_local_cluster_uses_up_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray(monkeypatch, there=None)
    check_interruptions_use_up_no_attempt(tmp_path, lambda: executor(tmp_path))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("told", [True, False])
def test_a_wrapper_says_whether_it_was_told_to_end(tmp_path: Path, told: bool) -> None:
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *a: sys.exit(130));"
        f"print('up', flush=True); time.sleep({60 if told else 0})"
    )
    log = tmp_path / "t.log"
    log.touch()
    order = Order("t", (sys.executable, "-c", code), 0, 60.0, log, {})
    write_orders(tmp_path / "o.json", [order], cpus=1)
    wrapper = subprocess.Popen(command(tmp_path / "o.json", 0))
    deadline = time.monotonic() + 30
    while told and "up" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if told:
        os.kill(wrapper.pid, signal.SIGTERM)
    assert wrapper.wait(30) == (130 if told else 0)
    end = read_end(exit_file(tmp_path / "o.json", 0))
    assert end is not None
    assert (end.exit_code, end.told) == ((130, True) if told else (0, False))
