"""Which bucket and object names the storage takes.

fake-gcs-server keeps objects as files under names that the client gives, and joins them to its root as they are: an
object named ``../x`` lies outside its bucket. So nothing gets to it that has not passed here. The rules are Cloud
Storage's own (https://cloud.google.com/storage/docs/buckets#naming and /objects#naming), and those that a tree of
files adds.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

MAX_OBJECT_NAME_BYTES = 1_024
MAX_PART_BYTES = 230
"""An object is a file, whose name has 255 bytes; fake-gcs-server needs some of them while it writes."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", re.ASCII)


class BadNameError(ValueError):
    """A name that the storage does not take; its text says why."""


def check_bucket(name: str) -> str:
    """Return *name* if it can be a bucket's.

    :raises BadNameError: if it has not 3 to 222 characters of ``a-z 0-9 . _ -``, or has two dots in a row.
    """
    if not _BUCKET.fullmatch(name) or ".." in name:
        raise BadNameError(f"Invalid bucket name: {name[:100]!r}")
    return name


def check_object(name: str) -> str:
    """Return *name* if it can be an object's.

    A name is looked at as it is and as it would be after each further percent-decoding, since somebody behind us may
    decode once more.

    :raises BadNameError: if it is empty or too long, holds a control character, or has a part between slashes that is
        empty, ``.`` or ``..``.
    """
    if len(name.encode("utf-8", "surrogatepass")) > MAX_OBJECT_NAME_BYTES:
        raise BadNameError(f"Invalid object name: it is longer than {MAX_OBJECT_NAME_BYTES} bytes")
    for form in _decodings(name):
        if any(character < " " or "\ud800" <= character <= "\udfff" for character in form):
            raise BadNameError(f"Invalid object name: {name!r} holds a control character")
        parts = re.split(r"[/\\]", form)
        if not {"", ".", ".."}.isdisjoint(parts):
            raise BadNameError(f"Invalid object name: {name!r} has an empty part, '.' or '..' between its slashes")
    if any(len(part.encode()) > MAX_PART_BYTES for part in name.split("/")):
        raise BadNameError(
            f"Invalid object name: a part of {name[:100]!r} is longer than {MAX_PART_BYTES} bytes; it becomes a file"
        )
    return name


def check_prefix(prefix: str) -> str:
    """Return *prefix* if objects can be listed by it: any text that does not climb.

    :raises BadNameError: if a part of it is ``..`` or it holds NUL, in any decoding.
    """
    for form in _decodings(prefix):
        if "\0" in form or ".." in re.split(r"[/\\]", form):
            raise BadNameError(f"Invalid prefix: {prefix[:100]!r}")
    return prefix


def _decodings(name: str) -> list[str]:
    forms = [name]
    while (decoded := unquote(forms[-1])) != forms[-1]:
        forms.append(decoded)
    return forms
