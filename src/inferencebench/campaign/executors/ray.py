"""`ray`: one detached actor per run, on an existing cluster or on one started here.

Options of the campaign file: `address` (as `ray.init` takes it; none: the cluster of `$RAY_ADDRESS` or of this machine,
else a local one that ends with the driver), `resource` (the custom resource of which a CPU run takes 1; default
`inferencebench`: start each node with `--resources='{"inferencebench": 1}'`), `cpus` (`num_cpus` of a run), `python`
(the interpreter on the nodes). GPU runs take GPUs of Ray's own kind.

Ray repeats nothing by itself: actors have `max_restarts=0` and `max_task_retries=0`, so a lost node is seen by the
driver, which counts it. Actors are detached: they outlive a killed driver, and the next one finds them by name. On a
local cluster they end with it, as with `local`.
"""

import sys
import uuid
from collections.abc import Collection, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from inferencebench.campaign.executors.batch import cpus_asked, exit_file, read_end, tasks_of, write_orders
from inferencebench.campaign.executors.contract import Life, Order, Status
from inferencebench.campaign.executors.ray_runner import Runner
from inferencebench.campaign.model import Placement
from inferencebench.errors import InfrastructureError, MissingError, UserError
from inferencebench.sandbox.contract import Probe

NAMESPACE = "inferencebench"
RESOURCE = "inferencebench"
"""Of which a CPU run takes 1: the machine for itself."""
ANSWER_S = 5.0
"""How long actors are waited for in one poll; those that wait for a place answer nothing."""
WAITING = 64
"""Actors that wait for a place at a time: each is state in the cluster's control store."""
OPTIONS = {"address", "resource", "cpus", "python"}


class _Handle(NamedTuple):
    """`NAME:ELEMENT:ORDERS_FILE`."""

    name: str
    element: int
    orders: Path


class RayExecutor:
    """Runs on a Ray cluster. `folder` takes the orders; all nodes must see it."""

    name = "ray"

    def __init__(self, placement: Placement, folder: Path) -> None:
        """Raises UserError for an unknown option, and for a wrong one."""
        if unknown := sorted(placement.options.keys() - OPTIONS):
            raise UserError(
                f"executor.options.{unknown[0]}: not an option of ray; known are {', '.join(sorted(OPTIONS))}"
            )
        options = placement.options
        self._address = str(options["address"]) if "address" in options else None
        self._resource = str(options.get("resource", RESOURCE))
        self._cpus = cpus_asked(options)
        self._python = str(options.get("python", sys.executable))
        self._slots = placement.slots or 1
        self._folder = folder.absolute()
        self._asked: dict[str, Any] = {}
        """Handle → the answer that its actor owes."""
        self._queued: set[str] = set()
        self._seen: dict[str, str] = {}
        """Handle → where it runs, for those that answered once."""
        self._mine: set[str] = set()
        """Handles that this process placed, while its cluster is there."""
        self._local = self._closed = False
        """Whether the cluster was started here, and whether it was ended."""

    @property
    def detached(self) -> bool:
        """Whether runs outlive this process; of the cluster, which is known once it answered."""
        return not self._local

    def probe(self) -> Probe:
        """Whether a cluster answers, and has what runs need."""
        if find_spec("ray") is None:
            return Probe(False, "ray is not installed", "pip install 'inferencebench[ray]'")
        try:
            ray = self._ray()
        except InfrastructureError as error:
            return Probe(False, str(error), "start one with `ray start --head`, or leave out executor.options.address")
        has = ray.cluster_resources()
        machines, gpus = has.get(self._resource, 0), has.get("GPU", 0)
        if not machines and not gpus:
            remedy = f"start nodes with --num-gpus=N or --resources='{{\"{self._resource}\": 1}}'"
            return Probe(False, f"no node has a GPU or the resource {self._resource}", remedy)
        nodes = sum(1 for node in ray.nodes() if node["Alive"])
        return Probe(True, f"{nodes} nodes, {gpus:g} GPUs, {machines:g} of {self._resource}")

    def free(self) -> int:
        """Ray queues, but not thousands."""
        return max(0, WAITING - len(self._queued))

    def place(self, orders: Sequence[Order]) -> dict[str, str]:
        """One detached actor each. Raises InfrastructureError when the cluster is away."""
        ray = self._ray()
        path = self._folder / f"{uuid.uuid4().hex[:12]}.json"
        write_orders(path, orders, cpus=self._cpus, keep_limits=True)
        handles = {}
        for index, order in enumerate(orders):
            name = f"{order.task}-{path.stem}"
            device = {"num_gpus": order.devices} if order.devices else {"resources": {self._resource: 1}}
            actor = ray.remote(Runner).options(
                name=name, namespace=NAMESPACE, lifetime="detached", max_restarts=0, max_task_retries=0,
                num_cpus=self._cpus or 0, **device,
            )  # fmt: skip
            actor.remote(str(path), index, self._python)
            handles[order.task] = handle = f"{name}:{index}:{path}"
            self._queued.add(handle)
            self._mine.add(handle)
        return handles

    def lost(self, tasks: Collection[str]) -> dict[str, str]:
        """By the names of the actors: a task and the file of orders, which says the place in it."""
        tasks_in = cache(tasks_of)
        found = {}
        for row in self._ray().util.list_named_actors(all_namespaces=True):
            name = str(row["name"])
            task, _, stem = name.rpartition("-")
            path = self._folder / f"{stem}.json"
            if row["namespace"] == NAMESPACE and task in tasks and task in tasks_in(path):
                found[task] = f"{name}:{tasks_in(path).index(task)}:{path}"
        return found

    def poll(self, handles: Sequence[str]) -> dict[str, Status]:
        """By the actors' answers; of those that are gone, by what their wrapper left."""
        if self._closed:
            return {handle: self._ended(handle, "") for handle in handles}
        ray = self._ray()
        for handle in handles:
            if handle not in self._asked and (actor := self._actor(handle)) is not None:
                self._asked[handle] = actor.where.remote()
        owed = [self._asked[handle] for handle in handles if handle in self._asked]
        known = [self._asked[h] for h in handles if h in self._asked and h in self._seen]
        if known:
            ray.wait(known, num_returns=len(known), timeout=ANSWER_S)
        ready = set(ray.wait(owed, num_returns=len(owed), timeout=0.2)[0]) if owed else set()
        return {handle: self._status(handle, ready) for handle in handles}

    def cancel(self, handles: Sequence[str]) -> None:
        """SIGTERM to what runs; what waits for a place is withdrawn. All are asked at once which of the two they do."""
        ray = self._ray()
        actors = [actor for handle in handles if (actor := self._actor(handle)) is not None]
        asked = {actor.where.remote(): actor for actor in actors}
        if not asked:
            return
        answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)
        for answer in silent:
            ray.kill(asked[answer])
        for answer in answered:
            asked[answer].cancel.remote()

    def close(self) -> None:
        """Leave the cluster; runs there go on, but for a local one, which ends."""
        if find_spec("ray") is not None:
            import ray

            ray.shutdown()
        self._closed = self._local
        self._mine.clear()

    def _status(self, handle: str, ready: set[Any]) -> Status:
        answer = self._asked.get(handle)
        if answer is None:
            return self._ended(handle, "no such actor")
        if answer not in ready:
            if where := self._seen.get(handle):
                return Status(Life.RUNNING, where=where)
            self._queued.add(handle)
            return Status(Life.QUEUED, reason="waits for resources")
        del self._asked[handle]
        import ray

        try:
            self._seen[handle] = where = str(ray.get(answer))
        except ray.exceptions.ActorUnavailableError:
            return Status(Life.RUNNING, reason="its node does not answer", where=self._seen.get(handle, ""))
        except ray.exceptions.RayError as error:
            return self._ended(handle, _why(error))
        self._queued.discard(handle)
        return Status(Life.RUNNING, where=where)

    def _ended(self, handle: str, why: str) -> Status:
        """What is known of an actor that is gone. With a local cluster's end, by whatever means, its runs were told to
        end: what they said to that is no end of their own."""
        self._queued.discard(handle)
        job, where, mine = _parse(handle), self._seen.get(handle, ""), handle in self._mine
        end = read_end(exit_file(job.orders, job.element))
        if end and (self.detached or mine or not end.told):
            return Status(Life.ENDED, end.exit_code, end.reason, where, ran_s=end.ran_s)
        ended_alone = mine and not self.detached
        return Status(Life.ENDED if ended_alone else Life.LOST, reason=why, where=where)

    def _actor(self, handle: str) -> Any | None:
        try:
            return self._ray().get_actor(_parse(handle).name, namespace=NAMESPACE)
        except ValueError:
            return None

    def _ray(self) -> Any:
        """The library, connected. Raises MissingError without it, InfrastructureError when no cluster answers."""
        if find_spec("ray") is None:
            raise MissingError("ray is not installed; pip install 'inferencebench[ray]'")
        import ray

        if ray.is_initialized():
            return ray
        common = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "ERROR"}
        try:
            if self._address != "local":
                try:
                    ray.init(address=self._address or "auto", **common)
                    return ray
                except ConnectionError:
                    if self._address:
                        raise
            ray.init(
                address="local", include_dashboard=False, resources={self._resource: self._slots}, **common
            )  # fmt: skip
            self._local, self._closed = True, False
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise InfrastructureError(f"no Ray at {self._address or 'this machine'}: {_why(error)}") from None
        return ray


def _parse(handle: str) -> _Handle:
    name, element, orders = handle.split(":", 2)
    return _Handle(name, int(element), Path(orders))


def _why(error: BaseException) -> str:
    """The line of Ray's message that says what happened: it lists the actor first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "died because" in line or "node" in line.lower()]
    return (told or lines or [type(error).__name__])[0][:300]
