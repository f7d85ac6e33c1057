"""Objects in the emulator's Cloud Storage, over its JSON API."""

from __future__ import annotations

from urllib.parse import quote

import httpx2


def upload(storage_url: str, bucket: str, name: str, content: bytes) -> None:
    """Make the bucket, unless it is there, and put an object into it."""
    with _client(storage_url) as http:
        made = http.post("/storage/v1/b", params={"project": "local"}, json={"name": bucket})
        if made.status_code != httpx2.codes.CONFLICT:
            made.raise_for_status()
        where = {"uploadType": "media", "name": name}
        http.post(f"/upload/storage/v1/b/{bucket}/o", params=where, content=content).raise_for_status()


def download(storage_url: str, uri: str) -> bytes:
    """Return the content of the object at a `gs://` address."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    with _client(storage_url) as http:
        found = http.get(f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}", params={"alt": "media"})
    return found.raise_for_status().content


def _client(storage_url: str) -> httpx2.Client:
    return httpx2.Client(base_url=storage_url, timeout=30, trust_env=False)
