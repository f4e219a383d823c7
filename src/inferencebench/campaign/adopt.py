"""Placements as the campaign's log has them, also those that their driver had no time to write down."""

from inferencebench.campaign.executors.contract import Executor, Finds
from inferencebench.campaign.journal import Journal
from inferencebench.campaign.plan import Plan, Task
from inferencebench.campaign.spend import limit_s


def write_placed(journal: Journal, plan: Plan, executor: Executor, task: Task, handle: str) -> None:
    """Write down that a task was placed. Raises OSError when the log is away or the disk full."""
    journal.append(
        "placed", task.id, handle=handle, executor=executor.name, directory=str(task.directory), devices=task.devices,
        limit_s=limit_s(plan.campaign, task),
    )  # fmt: skip


def adopt(journal: Journal, plan: Plan, executor: Executor) -> None:
    """Write down what the executor holds of the plan's tasks and the log does not say. The caller holds the directory's
    lock: what another driver is placing would look the same.

    Raises OSError when the log is away or the scheduler does not answer."""
    if not isinstance(executor, Finds):
        return
    histories = journal.histories()
    tasks = {task.id: task for task in plan.tasks if not histories[task.id].handle}
    for name, handle in executor.lost(tasks.keys()).items():
        write_placed(journal, plan, executor, tasks[name], handle)
