"""Notebooks are read from, written to and found in the emulator's Cloud Storage."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from airflow_nbjobs.api.client import Client
from airflow_nbjobs.emulator import Emulator
from airflow_nbjobs.exceptions import InvalidArgumentError, InvalidNotebookJobError, NotFoundError
from airflow_nbjobs.notebooks import storage
from tests.support.building import PEAK


@pytest.fixture
def client(nbjobs_emulator: Emulator) -> Iterator[Client]:
    with Client(storage.storage_endpoint(nbjobs_emulator.storage_url), None) as client:
        yield client


@pytest.fixture
def folder(nbjobs_emulator: Emulator) -> str:
    """Return a new folder in an existing bucket."""
    nbjobs_emulator.upload("gs://papers/there", b"")
    return f"gs://papers/{secrets.token_hex(6)}"


def test_notebook_is_read_with_its_generation(nbjobs_emulator: Emulator, client: Client, folder: str) -> None:
    uri = f"{folder}/a folder/naïve #1.ipynb"
    for content in (b"content", b""):
        nbjobs_emulator.upload(uri, content)
        read, found = storage.read(client, uri, limit=100)
        assert (read, found.uri, found.size) == (content, uri, len(content))
        assert storage.read(client, uri, found.generation, limit=100) == (content, found)


def test_another_generation_is_never_read(nbjobs_emulator: Emulator, client: Client, folder: str) -> None:
    uri = f"{folder}/report.ipynb"
    nbjobs_emulator.upload(uri, b"old")
    old = storage.get_object(client, uri)
    nbjobs_emulator.upload(uri, b"new")
    with pytest.raises(NotFoundError):
        storage.read(client, uri, old.generation, limit=100)
    assert storage.read(client, uri, limit=100)[0] == b"new"


def test_missing_notebook_is_not_found(client: Client, folder: str) -> None:
    with pytest.raises(NotFoundError):
        storage.get_object(client, f"{folder}/report.ipynb")


def test_large_notebook_is_read_in_chunks(nbjobs_emulator: Emulator, client: Client, folder: str) -> None:
    content = secrets.token_bytes(20 * 2**20)
    nbjobs_emulator.upload(f"{folder}/large.ipynb", content)
    found = storage.get_object(client, f"{folder}/large.ipynb")
    pieces = list(storage.read_chunks(client, found))
    assert [len(piece) for piece in pieces] == [8 * 2**20, 8 * 2**20, 4 * 2**20]
    assert b"".join(pieces) == content


def test_notebook_over_the_limit_is_not_read(nbjobs_emulator: Emulator, client: Client, folder: str) -> None:
    uri = f"{folder}/large.ipynb"
    nbjobs_emulator.upload(uri, b"x" * 101)
    with pytest.raises(InvalidNotebookJobError, match="has 101 bytes, over the limit of 100"):
        storage.read(client, uri, limit=100)


def test_compressed_object_is_refused(nbjobs_emulator: Emulator, client: Client, folder: str) -> None:
    bucket, _, name = folder.removeprefix("gs://").partition("/")
    query = {"uploadType": "media", "name": f"{name}/z.ipynb", "contentEncoding": "gzip"}
    url = f"{nbjobs_emulator.storage_url}/upload/storage/v1/b/{bucket}/o"
    httpx.post(url, params=query, content=b"zzz", trust_env=False).raise_for_status()
    with pytest.raises(InvalidNotebookJobError, match="Content-Encoding 'gzip'"):
        storage.read(client, f"{folder}/z.ipynb", limit=100)


def test_written_content_can_be_downloaded(nbjobs_emulator: Emulator, client: Client, folder: str) -> None:
    written = storage.write(client, f"{folder}/ü/staged.ipynb", b"{}")
    assert written == storage.get_object(client, f"{folder}/ü/staged.ipynb")
    assert nbjobs_emulator.download(f"{folder}/ü/staged.ipynb") == b"{}"
    assert storage.write(client, f"{folder}/ü/staged.ipynb", b"{}").generation == written.generation


def test_existing_object_is_never_overwritten(nbjobs_emulator: Emulator, client: Client, folder: str) -> None:
    nbjobs_emulator.upload(f"{folder}/staged.ipynb", b"another's")
    with pytest.raises(InvalidArgumentError) as caught:
        storage.write(client, f"{folder}/staged.ipynb", b"{}")
    assert caught.value.http_status == 412
    assert nbjobs_emulator.download(f"{folder}/staged.ipynb") == b"another's"


def test_deleting_twice_is_no_error(client: Client, folder: str) -> None:
    written = storage.write(client, f"{folder}/staged.ipynb", b"{}")
    storage.delete(client, written)
    storage.delete(client, written)
    with pytest.raises(NotFoundError):
        storage.get_object(client, written.uri)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["77/report.ipynb", "77/other.ipynb"], "77/report.ipynb"),
        (["77/surprise.ipynb", "77/plot.png", "77/deeper/other.ipynb", "778/other.ipynb"], "77/surprise.ipynb"),
        (["77/a.ipynb", "77/b.ipynb"], None),
        ([], None),
    ],
    ids=["as predicted", "only one", "several", "nothing"],
)
def test_executed_notebook_is_the_predicted_or_the_only_one(
    nbjobs_emulator: Emulator, client: Client, folder: str, names: list[str], found: str | None
) -> None:
    for name in names:
        nbjobs_emulator.upload(f"{folder}/{name}", b"{}")
    executed = storage.find_executed(client, f"{folder}/", "77", f"{folder}/77/report.ipynb")
    assert (executed.uri if executed else None) == (f"{folder}/{found}" if found else None)


def test_missing_bucket_has_no_executed_notebook(client: Client) -> None:
    assert storage.find_executed(client, "gs://no-such-bucket", "77") is None


@pytest.mark.parametrize("uri", ["gs://bucket", "gs://bucket/", "s3://bucket/x", "gs://../x", "gs://bucket/.."])
def test_uri_without_an_object_is_refused(client: Client, uri: str) -> None:
    with pytest.raises(InvalidNotebookJobError, match="must be gs://bucket/name"):
        storage.get_object(client, uri)


def test_only_google_gets_tokens() -> None:
    google = storage.storage_endpoint()
    assert (google.url, google.is_trusted) == ("https://storage.googleapis.com", True)
    emulator = storage.storage_endpoint("127.0.0.1:9023")
    assert (emulator.url, emulator.is_trusted) == ("http://127.0.0.1:9023", False)


def test_requests_match_the_discovery_document() -> None:
    from importlib.resources import files

    cache = files("googleapiclient") / "discovery_cache/documents/storage.v1.json"
    objects = json.loads(cache.read_text())["resources"]["objects"]["methods"]
    assert {"generation"} <= objects["get"]["parameters"].keys() & objects["delete"]["parameters"].keys()
    assert objects["get"]["path"] == "b/{bucket}/o/{object}"
    assert {"prefix", "delimiter", "pageToken"} <= objects["list"]["parameters"].keys()
    assert "ifGenerationMatch" in objects["insert"]["parameters"]
    upload = objects["insert"]["mediaUpload"]["protocols"]["simple"]
    assert (upload["multipart"], upload["path"]) == (True, "/upload/storage/v1/b/{bucket}/o")


READ = """
import sys
from airflow_nbjobs.api.client import Client
from airflow_nbjobs.notebooks import storage
from airflow_nbjobs.notebooks.outcome import read_outcome

before = peak()
with Client(storage.storage_endpoint(sys.argv[1]), None) as client:
    outcome = read_outcome(storage.read_chunks(client, storage.get_object(client, sys.argv[2])))
print(outcome.failure, peak() - before)
"""


def test_executed_notebook_of_200_mb_takes_little_memory(nbjobs_emulator: Emulator, folder: str) -> None:
    head = b'{"cells":[{"cell_type":"code","metadata":{},"outputs":[{"output_type":"stream","name":"stdout","text":["'
    tail = b'"]},{"output_type":"error","ename":"E","evalue":"v","traceback":[]}],"source":"1/0"}],"nbformat":4}'
    nbjobs_emulator.upload(f"{folder}/huge.ipynb", head + b"x" * (200 * 10**6) + tail)
    call = [sys.executable, "-c", PEAK + READ, nbjobs_emulator.storage_url, f"{folder}/huge.ipynb"]
    run = subprocess.run(call, capture_output=True, text=True, check=True)
    failure, _, megabytes = run.stdout.strip().rpartition(" ")
    assert failure == "cell 1: E: v"
    assert int(megabytes) < 100
