"""The one error whose text is shown to the user. Everything else that is raised is a bug."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can fix: the text says what happened, where, and what to do.

    Callers show ``str(error)`` as it stands, without a traceback.
    """
