"""Pages of Dataform's lists. A token holds the last item's key, so nothing that comes or goes moves another item."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from airflow_nbjobs.emulator.errors import invalid
from airflow_nbjobs.emulator.pages import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Item = tuple[str, dict[str, Any]]

_SIZE, _MAX_SIZE = 100, 1_000
_NOT_ASKED = ("pageSize", "pageToken")


def page(
    field: str, items: Sequence[Item], path: Mapping[str, str], query: Mapping[str, str], *, down: bool = False
) -> dict[str, Any]:
    """Answer with a page: ``pageSize`` items, 100 when it is not given or 0, and never more than 1,000.

    :param field: the answer's name for the items.
    :param items: each with its key, ascending.
    :param path: the segments of the request's path. With the rest of the query they are what a token is bound to, as
        AIP-158 has it.
    :param down: whether the last item comes first.
    :raises ApiError: 400 for a size that is none, and for a token that is none or of another request.
    """
    size = query.get("pageSize") or "0"
    if not (size.isascii() and size.isdigit() and len(size) < 10):
        raise invalid("page_size", f"Invalid page_size {size!r}: it must be a number, and not negative.")
    asked = {name: value for name, value in query.items() if name not in _NOT_ASKED}
    question = fingerprint(field, json.dumps([sorted(path.items()), sorted(asked.items())]))
    left = list(reversed(items)) if down else list(items)
    if token := query.get("pageToken"):
        last = _read_token(token, question)
        left = [item for item in left if (item[0] < last if down else item[0] > last)]
    count = min(int(size) or _SIZE, _MAX_SIZE)
    shown = left[:count]
    answer: dict[str, Any] = {field: [wire for _, wire in shown]} if shown else {}
    if len(left) > count:
        answer["nextPageToken"] = base64.urlsafe_b64encode(json.dumps([question, shown[-1][0]]).encode()).decode()
    return answer


def _read_token(token: str, question: str) -> str:
    try:
        found = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not (isinstance(found, list) and len(found) == 2 and found[0] == question and isinstance(found[1], str)):
        raise invalid("page_token", f"Invalid page_token {token!r}: it is none, or of a request with other arguments.")
    return found[1]
