"""The errors whose text is shown to the user. Everything else that is raised is a bug."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can fix: the text says what happened, where, and what to do.

    Callers show ``str(error)`` as it stands, without a traceback.
    """


class NotReadyError(UserError):
    """Nothing is wrong: what was asked for is not there yet."""
