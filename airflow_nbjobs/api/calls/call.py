"""What all calls share: the request, pages, and the check that an answer is about the requested resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

__all__ = ["PAGE_LIMIT", "Call", "Page", "about"]

PAGE_LIMIT = 100
"""The largest page size that the service accepts."""

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request.

    :ivar path: absolute; made of checked names only.
    :ivar parse: turns the answer's JSON into a value; if it raises, the answer is an ``UnexpectedAnswerError``.
    :ivar body: sent as JSON; bytes are sent as they are.
    :ivar may_repeat: whether sending it twice has the same effect as sending it once.
    :ivar when_gone: the result if a repeated call finds that the resource does not exist.
    :ivar headers: sent in addition to the client's own.
    :ivar is_raw: whether ``parse`` takes the answer's bytes instead of its JSON.
    :ivar check: called before each try; what it raises is not retried.
    """

    verb: str
    path: str
    parse: Callable[[Any], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | bytes | None = field(default=None, repr=False)  # it may hold a notebook
    may_repeat: bool = True
    when_gone: T | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_raw: bool = False
    check: Callable[[], None] = lambda: None

    def with_page_token(self, token: str) -> Call[T]:
        """Return the same call for a later page."""
        return replace(self, query={**self.query, "pageToken": token})


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list; ``next_page_token`` is empty on the last one."""

    items: list[T]
    next_page_token: str

    @classmethod
    def reader(cls, key: str, read: Callable[[Any], T]) -> Callable[[Any], Page[T]]:
        """Return a parser of pages. It raises if any item cannot be parsed: leaving one out would deny that it exists.

        :param key: where the items are; the service leaves the key out of an empty page.
        :param read: parses one item.
        """

        def page(answer: Any) -> Page[T]:
            if "error" in answer:
                raise ValueError("the page holds an error")
            items, token = (answer.get(each) for each in (key, "nextPageToken"))
            if not isinstance(items, list | None) or not isinstance(token, str | None):
                raise TypeError(f"{key} must be a list, and nextPageToken a string")
            return cls([read(item) for item in items or []], token or "")

        return page


def about(asked: str, read: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return a parser that raises if the answer is about another resource, or has no name.

    :param asked: the name of the requested resource; the answer may have the project's number in it.
    :param read: parses the answer.
    """

    def parse(answer: Any) -> T:
        name = answer.get("name")
        if not isinstance(name, str) or name.split("/")[2:] != asked.split("/")[2:]:
            raise ValueError(f"the answer is about {name!r}")
        return read(answer)

    return parse
