"""The one error whose text is meant for a person. Everything else that is raised is a bug."""

from __future__ import annotations


class UserError(Exception):
    """Something the person can mend: the text says what happened, where, and what to do.

    Callers show ``str(error)`` as it stands. A traceback is never shown for it.
    """
