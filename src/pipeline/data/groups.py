"""Who has a normalisation, an input layer and a ridge of its own in a model: each subject, or each of its sessions.

A group is (subject, session).  The group of a subject without a session stands for its whole data: for sessions that
are not told apart, and for those that training did not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Group = tuple[str, str]
WHOLE = ""


def groups_of(sessions: Mapping[str, Sequence[str]], by_session: bool) -> list[Group]:
    """The groups of subjects with these sessions, in order; a subject of one session is one group."""
    found: list[Group] = []
    for subject, own in sessions.items():
        found += [(subject, session) for session in own if by_session and len(own) > 1]
        found.append((subject, WHOLE))
    return found


def group_index(groups: Sequence[Sequence[str]], subject: str, session: str) -> int:
    """The number of a session's group in a model; where the model does not know the session, of its subject's.

    Raises :class:`ValueError` where the model does not know the subject.
    """
    listed = [tuple(group) for group in groups]
    return listed.index((subject, session) if (subject, session) in listed else (subject, WHOLE))


def model_groups(meta: Mapping[str, Any]) -> list[Group]:
    """The groups of a released model; one that does not tell them has its subjects."""
    return [(subject, session) for subject, session in meta.get("groups") or [(s, WHOLE) for s in meta["subjects"]]]


def owners_of(groups: Sequence[Sequence[str]]) -> list[int]:
    """For each group, the number of its subject."""
    subjects = list(dict.fromkeys(group[0] for group in groups))
    return [subjects.index(group[0]) for group in groups]
