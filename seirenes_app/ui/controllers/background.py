"""The old name of `seirenes_app.ui.tasks.TaskRunner`, for pages that are not converted yet."""

from __future__ import annotations

from seirenes_app.ui.tasks import TaskRunner


class Background(TaskRunner):
    """See `TaskRunner`."""

    submit = TaskRunner.run
