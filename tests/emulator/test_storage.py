"""The emulator's Cloud Storage: its own way to it, and what other people's clients do with it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx2
import psutil
import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as google_storage

from airflow_nbjobs.emulator.storage import Storage, StorageError
from tests.support.running import Loop, running_storage, talk
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEGAL = [
    "plain",
    "a folder/with spaces.ipynb",
    "ünïcödé/日本.ipynb",
    "a#b?c&d=e+f;g",
    "100%",
    "50%25",
    "it's (1)~!*",
    "..a/b..",
    "x" * 230,
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Storage, Loop]]:
    with running_storage(tmp_path_factory.mktemp("objects")) as both:
        yield both


@pytest.fixture
def client(running: tuple[Storage, Loop]) -> Iterator[google_storage.Client]:
    client = google_storage.Client(
        project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": running[0].url}
    )
    yield client
    client.close()


@pytest.fixture
def bucket(client: google_storage.Client, request: pytest.FixtureRequest) -> google_storage.Bucket:
    return client.create_bucket(f"bucket-{abs(hash(request.node.name))}")


@pytest.mark.parametrize("name", LEGAL)
def test_what_one_writes_the_other_reads(
    running: tuple[Storage, Loop], bucket: google_storage.Bucket, name: str
) -> None:
    """The emulator and Google's client mean the same object by a legal name, however odd."""
    storage, loop = running
    uri = f"gs://{bucket.name}/{name}"
    loop.run(storage.write(uri, b"ours"))
    assert bucket.blob(name).download_as_bytes() == b"ours"
    bucket.blob(name).upload_from_string(b"theirs")
    assert loop.run(storage.read(uri)) == b"theirs"
    assert [blob.name for blob in bucket.list_blobs()] == [name]


def test_a_generation_is_read_or_said_to_be_missing(
    running: tuple[Storage, Loop], bucket: google_storage.Bucket
) -> None:
    storage, loop = running
    blob = bucket.blob("x.ipynb")
    blob.upload_from_string(b"1")
    uri = f"gs://{bucket.name}/x.ipynb"
    assert loop.run(storage.read(uri, str(blob.generation))) == b"1"
    with pytest.raises(StorageError, match=rf"^{uri} could not be read: it has no generation 17\.$"):
        loop.run(storage.read(uri, "17"))


def test_what_is_missing_is_named(running: tuple[Storage, Loop], bucket: google_storage.Bucket) -> None:
    storage, loop = running
    with pytest.raises(StorageError, match=rf"^gs://{bucket.name}/x could not be read: there is no such object\.$"):
        loop.run(storage.read(f"gs://{bucket.name}/x"))
    with pytest.raises(
        StorageError, match=r"^gs://no-bucket/x could not be read: there is no bucket 'no-bucket': make it first\.$"
    ):
        loop.run(storage.read("gs://no-bucket/x"))
    with pytest.raises(
        StorageError, match=r"^gs://no-bucket/x could not be written: there is no bucket 'no-bucket': make it first\.$"
    ):
        loop.run(storage.write("gs://no-bucket/x", b""))


@pytest.mark.parametrize("uri", ["gs://bucket", "gs://bucket/", "s3://bucket/x", "x", "gs://../x", "gs://bucket/../x"])
def test_what_is_no_uri_of_an_object_is_an_error(running: tuple[Storage, Loop], uri: str) -> None:
    storage, loop = running
    for work in (storage.read(uri), storage.write(uri, b"")):
        with pytest.raises(StorageError):
            loop.run(work)


def test_a_resumable_upload_goes_through_in_chunks(bucket: google_storage.Bucket) -> None:
    content = os.urandom(3 * 2**20)
    blob = bucket.blob("large file", chunk_size=2**20)
    blob.upload_from_string(content)
    assert blob.download_as_bytes() == content
    assert blob.download_as_bytes(start=5, end=9) == content[5:10]


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "storage.example:{port}"])
def test_a_resumable_upload_continues_where_its_client_began_it(
    running: tuple[Storage, Loop], bucket: google_storage.Bucket, host: str
) -> None:
    """A client in a container knows the port under another name; no answer may send it to the private port."""
    host = host.format(port=running[0].url.rpartition(":")[2])
    target = f"POST /upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=a%2Fb HTTP/1.1"
    status, headers, _ = talk(running[0].url, target, f"Host: {host}")
    assert status == 200
    assert headers["location"].startswith(
        f"http://{host}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=a%2Fb"
    )


def test_preconditions_hold(bucket: google_storage.Bucket) -> None:
    blob = bucket.blob("once")
    blob.upload_from_string(b"1", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("once").upload_from_string(b"2", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("once").upload_from_string(b"2", if_generation_match=blob.generation - 1)
    bucket.blob("once").upload_from_string(b"2", if_generation_match=blob.generation)
    assert bucket.blob("once").download_as_bytes() == b"2"


def test_lists_go_by_prefix_and_delimiter(client: google_storage.Client, bucket: google_storage.Bucket) -> None:
    for name in ("a/1", "a/2", "a/b/3", "c"):
        bucket.blob(name).upload_from_string(b"")
    assert [blob.name for blob in client.list_blobs(bucket, prefix="a/")] == ["a/1", "a/2", "a/b/3"]
    found = client.list_blobs(bucket, prefix="a/", delimiter="/")
    assert [blob.name for blob in found] == ["a/1", "a/2"]
    assert found.prefixes == {"a/b/"}
    assert [blob.name for blob in client.list_blobs(bucket, page_size=2)] == ["a/1", "a/2", "a/b/3", "c"]


def test_objects_are_copied_composed_described_and_deleted(bucket: google_storage.Bucket) -> None:
    one = bucket.blob("one")
    one.metadata = {"name": "../not a name but metadata"}
    one.upload_from_string(b"1")
    two = bucket.copy_blob(one, bucket, "folder/two")
    three = bucket.blob("three")
    three.compose([one, two])
    assert three.download_as_bytes() == b"11"
    two.rewrite(three)
    assert two.download_as_bytes() == b"11"
    two.metadata = {"key": "value"}
    two.patch()
    assert bucket.get_blob("folder/two").metadata["key"] == "value"
    assert bucket.get_blob("one").metadata == {"name": "../not a name but metadata"}
    two.delete()
    with pytest.raises(NotFound):
        two.delete()
    assert bucket.get_blob("folder/two") is None


def test_airflows_own_hook_works(
    running: tuple[Storage, Loop], bucket: google_storage.Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from airflow.providers.google.cloud.hooks.gcs import GCSHook

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", running[0].url)
    monkeypatch.setenv(
        "AIRFLOW_CONN_ANONYMOUS",
        json.dumps({"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": "p"}}),
    )
    hook = GCSHook("anonymous")
    (tmp_path / "file").write_bytes(b"from a file")
    hook.upload(bucket.name, "a/file", filename=str(tmp_path / "file"))
    assert hook.download(bucket.name, "a/file") == b"from a file"
    assert hook.list(bucket.name, prefix="a/") == ["a/file"]
    assert hook.exists(bucket.name, "a/file")
    hook.delete(bucket.name, "a/file")
    assert not hook.exists(bucket.name, "a/file")


def test_gcsfs_works(running: tuple[Storage, Loop], bucket: google_storage.Bucket) -> None:
    from gcsfs.core import GCSFileSystem  # the package's own name for it speaks gRPC

    files = GCSFileSystem(token="anon", endpoint_url=running[0].url, skip_instance_cache=True)  # noqa: S106 - no secret
    with files.open(f"{bucket.name}/folder/file.txt", "wb") as file:
        file.write(b"x" * 1000)
    assert files.cat(f"{bucket.name}/folder/file.txt") == b"x" * 1000
    assert files.ls(f"{bucket.name}/folder") == [f"{bucket.name}/folder/file.txt"]
    files.rm(f"{bucket.name}/folder", recursive=True)
    assert files.ls(bucket.name) == []


def test_objects_and_their_generations_survive_a_restart(tmp_path: Path) -> None:
    def described() -> bytes:
        return talk(storage.url, "GET /storage/v1/b/bucket/o/a%2Fb?fields=generation HTTP/1.1", "Host: localhost")[2]

    with running_storage(tmp_path) as (storage, loop):
        talk(storage.url, "POST /storage/v1/b?project=p HTTP/1.1", "Host: localhost", body=b'{"name": "bucket"}')
        loop.run(storage.write("gs://bucket/a/b", b"content"))
        generation = json.loads(described())["generation"]
    with running_storage(tmp_path) as (storage, loop):
        assert json.loads(described())["generation"] == generation
        assert loop.run(storage.read("gs://bucket/a/b", generation)) == b"content"


def test_a_storage_that_the_environment_names_is_used_and_none_started(
    running: tuple[Storage, Loop], bucket: google_storage.Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket.blob("x").upload_from_string(b"there already")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", running[0].url.removeprefix("http://"))
    with running_storage(tmp_path / "unused") as (other, loop):
        assert other.url == running[0].url
        assert loop.run(other.read(f"gs://{bucket.name}/x")) == b"there already"
    assert not (tmp_path / "unused").exists()


def test_a_port_that_is_taken_is_an_error_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        storage = Storage(root=tmp_path, host="127.0.0.1", port=taken.getsockname()[1], allowed_hosts=[])
        with pytest.raises(OSError, match="in use"):
            asyncio.run(storage.start())


def test_a_storage_that_has_gone_is_an_error_that_names_the_object(tmp_path: Path) -> None:
    with running_storage(tmp_path) as (storage, loop):
        _server_of(os.getpid(), str(tmp_path)).kill()
        with pytest.raises(StorageError, match=r"^gs://bucket/x could not be read: Cloud Storage answered 503"):
            eventually(lambda: loop.run(storage.read("gs://bucket/x")))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_storage_process_outlives_the_one_that_started_it(tmp_path: Path, how: signal.Signals) -> None:
    program = (
        "import asyncio, pathlib\n"
        "from airflow_nbjobs.emulator.storage import Storage\n"
        "async def main():\n"
        f"    storage = Storage(root=pathlib.Path({str(tmp_path)!r}), host='127.0.0.1', port=0, allowed_hosts=[])\n"
        "    await storage.start()\n"
        "    print(storage.url, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert httpx2.get(f"{url}/storage/v1/b?project=p").json()["kind"] == "storage#buckets"
        server = _server_of(parent.pid, str(tmp_path))
        parent.send_signal(how)
        parent.wait()
        eventually(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)


def _server_of(pid: int, root: str) -> psutil.Process:
    children = psutil.Process(pid).children(recursive=True)
    return next(child for child in children if "keeper.py" not in str(child.cmdline()) and root in child.cmdline())
