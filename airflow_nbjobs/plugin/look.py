"""What Google Cloud says about a try: read once for all that one view of the tab asks for."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass

from airflow_nbjobs.api.job import NotebookExecutionJob
from airflow_nbjobs.plugin.job import find_job, new_hook
from airflow_nbjobs.plugin.notebook import ShownNotebook, find_notebook
from airflow_nbjobs.plugin.task_instance import Place, TaskRecord
from airflow_nbjobs.plugin.unavailable import Unavailable

__all__ = ["Look", "Looks"]

_VIEW_SECONDS = 5.0
"""How long after the state the frame and the facts of the same view may be asked for."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a try has.

    :ivar job: ``None`` if the try has no job, or it cannot be read.
    :ivar project: where the job is; empty without a job.
    :ivar shown: the notebook to show; ``None`` if it does not exist, or cannot be read.
    :ivar why: why the job or the notebook is missing.
    """

    job: NotebookExecutionJob | None = None
    project: str = ""
    shown: ShownNotebook | None = None
    why: Unavailable | None = None

    def notebook(self) -> ShownNotebook:
        """Return the notebook.

        :raises Unavailable: if it cannot be shown; the sentence says why.
        """
        if self.shown is None:
            assert self.why is not None  # noqa: S101 - one of the two is there
            raise self.why
        return self.shown

    @classmethod
    def at(cls, task: TaskRecord, number: int) -> Look:
        """Look at a try.

        :param number: of the try.
        """
        job, project = None, ""
        try:
            with closing(new_hook()) as hook:
                job = find_job(task, number, hook)
                project = task.text_field("project_id") or hook.project_id or ""
                return cls(job=job, project=project, shown=find_notebook(job, task, hook))
        except Unavailable as why:
            return cls(job=job, project=project, why=why)


class Looks:
    """The looks of one process of the API server.

    The tab asks for the state and the notebook at the same time: both are then of the same moment, and Google Cloud is
    asked once. Whether a user may ask is not decided here.
    """

    def __init__(self) -> None:
        self._looks: dict[tuple[Place, int], tuple[float, Future[Look]]] = {}

    def new(self, task: TaskRecord, number: int) -> Look:
        """Look at a try, and keep it for the rest of the view.

        :param number: of the try.
        """
        now, look = time.monotonic(), Future[Look]()
        for key, (begun, _) in list(self._looks.items()):
            if now - begun > _VIEW_SECONDS:
                self._looks.pop(key, None)
        self._looks[task.place, number] = now, look
        try:
            look.set_result(Look.at(task, number))
        except BaseException as error:
            look.set_exception(error)
            raise
        return look.result()

    def of_view(self, task: TaskRecord, number: int) -> Look:
        """Return the look of this view, which may be on its way, or a new one.

        :param number: of the try.
        """
        begun, look = self._looks.get((task.place, number), (0.0, None))
        if look is None or time.monotonic() - begun > _VIEW_SECONDS:
            return Look.at(task, number)
        return look.result()
