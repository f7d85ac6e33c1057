"""Pages of Dataform's lists. A token holds the last item's key: other items that come or go do not move an item."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_nbjobs.emulator.page_tokens import fingerprint, page_size, read_token, write_token

_MAX_SIZE = 1_000


def page(
    field: str,
    items: Sequence[tuple[str, dict[str, Any]]],
    path: Mapping[str, str],
    query: Mapping[str, str],
    *,
    descending: bool = False,
) -> dict[str, Any]:
    """Answer with a page: ``pageSize`` items, 100 when it is missing or 0, and never more than 1,000.

    :param field: the answer's name for the items.
    :param items: each with its key, ascending.
    :param path: the segments of the request's path; a token is bound to them and to the rest of the query.
    :raises ServiceError: 400 for a malformed size, and for a token that is malformed or of another request.
    """
    count = min(page_size(query.get("pageSize"), limit=None), _MAX_SIZE)
    asked = {name: value for name, value in query.items() if name not in ("pageSize", "pageToken")}
    request = fingerprint(field, json.dumps([sorted(path.items()), sorted(asked.items())]))
    left = list(reversed(items)) if descending else list(items)
    if token := query.get("pageToken"):
        (last,) = read_token(token, request, [str])
        left = [item for item in left if (item[0] < last if descending else item[0] > last)]
    shown = left[:count]
    answer: dict[str, Any] = {field: [wire for _, wire in shown]} if shown else {}
    if len(left) > count:
        answer["nextPageToken"] = write_token(request, [shown[-1][0]])
    return answer
