"""The actor that Ray starts on a node: it runs one order there."""

import os
import signal
import subprocess
import threading
from pathlib import Path

from inferencebench.campaign.executors.batch import command
from inferencebench.sandbox.namespaces import die_with_parent


class Runner:
    """The actor: runs one order on the node where Ray put it, and ends with it, which gives the device back."""

    def __init__(self, orders: str, index: int, python: str) -> None:
        import ray

        env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # Ray's own, not ours
        self._node = env["RAY_NODE_ID"] = str(ray.get_runtime_context().get_node_id())
        self._me = ray.get_runtime_context().current_actor
        self._child = subprocess.Popen(
            command(Path(orders), index, python), env=env, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
            start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._leave, daemon=True).start()

    def where(self) -> str:
        """Host, Ray's own name of the node, and GPUs."""
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return f"{os.uname().nodename} node={self._node[:12]} gpus={gpus} pid={self._child.pid}"

    def cancel(self) -> None:
        """Tell the run to end; the actor leaves after it."""
        self._child.send_signal(signal.SIGTERM)

    def _leave(self) -> None:
        import ray

        self._child.wait()
        ray.kill(self._me)
