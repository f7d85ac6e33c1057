"""The bucket and object names that the storage accepts.

fake-gcs-server keeps objects as files and joins the client's name to its root unchanged: an object named ``../x`` would
be outside its bucket. Therefore every name is checked here first. The rules are Cloud Storage's own
(https://cloud.google.com/storage/docs/buckets#naming and /objects#naming), and those of a file system.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from airflow_nbjobs.emulator.errors import ServiceError

MAX_OBJECT_NAME_BYTES = 1_024
MAX_PART_BYTES = 230
"""An object is a file, whose name has 255 bytes; fake-gcs-server needs some of them while it writes."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", re.ASCII)


def check_bucket(name: str) -> str:
    """Return *name* if it is a valid bucket name.

    :raises ServiceError: 400 if it does not have 3 to 222 characters of ``a-z 0-9 . _ -``, or has two dots in a row.
    """
    if not _BUCKET.fullmatch(name) or ".." in name:
        raise ServiceError(400, f"Invalid bucket name: {name[:100]!r}")
    return name


def check_object(name: str) -> str:
    """Return *name* if it is a valid object name.

    The name and each of its further percent-decodings are checked, since the server may decode once more.

    :raises ServiceError: 400 if it is empty or too long, has a control character, or has a part between slashes that
        is empty, ``.`` or ``..``.
    """
    if len(name.encode("utf-8", "surrogatepass")) > MAX_OBJECT_NAME_BYTES:
        raise ServiceError(400, f"Invalid object name: it is longer than {MAX_OBJECT_NAME_BYTES} bytes")
    for form in _decodings(name):
        if any(character < " " or "\ud800" <= character <= "\udfff" for character in form):
            raise ServiceError(400, f"Invalid object name: {name!r} has a control character")
        if not {"", ".", ".."}.isdisjoint(re.split(r"[/\\]", form)):
            raise ServiceError(400, f"Invalid object name: {name!r} has an empty part, '.' or '..' between its slashes")
    if any(len(part.encode()) > MAX_PART_BYTES for part in name.split("/")):
        text = f"a part of {name[:100]!r} is longer than {MAX_PART_BYTES} bytes, which is too long for a file"
        raise ServiceError(400, f"Invalid object name: {text}")
    return name


def check_prefix(prefix: str) -> str:
    """Return *prefix* if objects can be listed by it.

    :raises ServiceError: 400 if a part of it is ``..`` or it has a NUL character, in any decoding.
    """
    for form in _decodings(prefix):
        if "\0" in form or ".." in re.split(r"[/\\]", form):
            raise ServiceError(400, f"Invalid prefix: {prefix[:100]!r}")
    return prefix


def _decodings(name: str) -> list[str]:
    forms = [name]
    while (decoded := unquote(forms[-1])) != forms[-1]:
        forms.append(decoded)
    return forms
