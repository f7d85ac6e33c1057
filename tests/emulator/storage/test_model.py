"""The emulator's Cloud Storage: its own access to it, and other clients."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import httpx
import psutil
import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as google_storage

from airflow_nbjobs.emulator.storage.model import StorageError
from tests.support.kernels import is_gone
from tests.support.running import running_storage, talk
from tests.support.waiting import eventually

LEGAL = [
    "plain", "a folder/with spaces.ipynb", "ünïcödé/日本.ipynb", "a#b?c&d=e+f;g", "100%", "50%25", "it's (1)~!*",
    "..a/b..", "x" * 230,
]  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with running_storage(tmp_path_factory.mktemp("objects")) as both:
        yield both


@pytest.fixture
def client(running):
    client = google_storage.Client(
        project="p", credentials=AnonymousCredentials(), client_options={"api_endpoint": running[0].url}
    )
    yield client
    client.close()


@pytest.fixture
def bucket(client, request):
    return client.create_bucket(f"bucket-{abs(hash(request.node.name))}")


@pytest.mark.parametrize("name", LEGAL)
def test_the_emulator_and_googles_client_read_each_others_objects(running, bucket, name):
    storage, loop = running
    uri = f"gs://{bucket.name}/{name}"
    loop.run(storage.write(uri, b"ours"))
    assert bucket.blob(name).download_as_bytes() == b"ours"
    bucket.blob(name).upload_from_string(b"theirs")
    assert loop.run(storage.read(uri)) == b"theirs"
    assert [blob.name for blob in bucket.list_blobs()] == [name]


def test_a_generation_is_read_or_reported_missing(running, bucket):
    storage, loop = running
    blob = bucket.blob("x.ipynb")
    blob.upload_from_string(b"1")
    uri = f"gs://{bucket.name}/x.ipynb"
    assert loop.run(storage.read(uri, str(blob.generation))) == b"1"
    with pytest.raises(StorageError, match=rf"^{uri} could not be read: it has no generation 17\.$"):
        loop.run(storage.read(uri, "17"))


def test_a_missing_object_or_bucket_is_named(running, bucket):
    storage, loop = running
    with pytest.raises(StorageError, match=rf"^gs://{bucket.name}/x could not be read: there is no such object\.$"):
        loop.run(storage.read(f"gs://{bucket.name}/x"))
    missing = r"the bucket 'no-bucket' does not exist; create it, with `nbjobs emulator --bucket no-bucket`"
    with pytest.raises(StorageError, match=rf"^gs://no-bucket/x could not be read: {missing}"):
        loop.run(storage.read("gs://no-bucket/x"))
    with pytest.raises(StorageError, match=rf"^gs://no-bucket/x could not be written: {missing}"):
        loop.run(storage.write("gs://no-bucket/x", b""))


@pytest.mark.parametrize("uri", ["gs://bucket", "gs://bucket/", "s3://bucket/x", "x", "gs://../x", "gs://bucket/../x"])
def test_a_malformed_uri_is_an_error(running, uri):
    storage, loop = running
    for work in (storage.read(uri), storage.write(uri, b"")):
        with pytest.raises(StorageError):
            loop.run(work)


def test_a_resumable_upload_is_sent_in_chunks(bucket):
    content = os.urandom(3 * 2**20)
    blob = bucket.blob("large file", chunk_size=2**20)
    blob.upload_from_string(content)
    assert blob.download_as_bytes() == content
    assert blob.download_as_bytes(start=5, end=9) == content[5:10]


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "storage.example:{port}"])
def test_a_resumable_upload_continues_at_the_clients_address(running, bucket, host):
    """A client in a container knows the port under another name; no answer may send it to the private port."""
    host = host.format(port=running[0].url.rpartition(":")[2])
    target = f"POST /upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=a%2Fb HTTP/1.1"
    status, headers, _ = talk(running[0].url, target, f"Host: {host}")
    assert status == 200
    assert headers["location"].startswith(
        f"http://{host}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&name=a%2Fb"
    )


def test_preconditions_hold(bucket):
    blob = bucket.blob("once")
    blob.upload_from_string(b"1", if_generation_match=0)
    with pytest.raises(PreconditionFailed, match="At least one of the pre-conditions you specified did not hold"):
        bucket.blob("once").upload_from_string(b"2", if_generation_match=0)
    with pytest.raises(PreconditionFailed, match="At least one of the pre-conditions you specified did not hold"):
        bucket.blob("once").upload_from_string(b"2", if_generation_match=blob.generation - 1)
    bucket.blob("once").upload_from_string(b"2", if_generation_match=blob.generation)
    assert bucket.blob("once").download_as_bytes() == b"2"


def test_lists_use_prefix_and_delimiter(client, bucket):
    for name in ("a/1", "a/2", "a/b/3", "c"):
        bucket.blob(name).upload_from_string(b"")
    assert [blob.name for blob in client.list_blobs(bucket, prefix="a/")] == ["a/1", "a/2", "a/b/3"]
    found = client.list_blobs(bucket, prefix="a/", delimiter="/")
    assert [blob.name for blob in found] == ["a/1", "a/2"]
    assert found.prefixes == {"a/b/"}
    assert [blob.name for blob in client.list_blobs(bucket, page_size=2)] == ["a/1", "a/2", "a/b/3", "c"]


def test_objects_are_copied_composed_described_and_deleted(bucket):
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


def test_airflows_own_hook_works(running, bucket, monkeypatch, tmp_path):
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


def test_gcsfs_works(running, bucket):
    from gcsfs.core import GCSFileSystem  # the package's own name for it speaks gRPC

    files = GCSFileSystem(token="anon", endpoint_url=running[0].url, skip_instance_cache=True)  # noqa: S106 - no secret
    with files.open(f"{bucket.name}/folder/file.txt", "wb") as file:
        file.write(b"x" * 1000)
    assert files.cat(f"{bucket.name}/folder/file.txt") == b"x" * 1000
    assert files.ls(f"{bucket.name}/folder") == [f"{bucket.name}/folder/file.txt"]
    files.rm(f"{bucket.name}/folder", recursive=True)
    assert files.ls(bucket.name) == []


def test_objects_and_their_generations_survive_a_restart(tmp_path):
    def described():
        return talk(storage.url, "GET /storage/v1/b/bucket/o/a%2Fb?fields=generation HTTP/1.1", "Host: localhost")[2]

    with running_storage(tmp_path) as (storage, loop):
        talk(storage.url, "POST /storage/v1/b?project=p HTTP/1.1", "Host: localhost", body=b'{"name": "bucket"}')
        loop.run(storage.write("gs://bucket/a/b", b"content"))
        generation = json.loads(described())["generation"]
    with running_storage(tmp_path) as (storage, loop):
        assert json.loads(described())["generation"] == generation
        assert loop.run(storage.read("gs://bucket/a/b", generation)) == b"content"


def test_a_storage_of_the_environment_is_used(running, bucket, monkeypatch, tmp_path):
    bucket.blob("x").upload_from_string(b"there already")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", running[0].url.removeprefix("http://"))
    with running_storage(tmp_path / "unused") as (other, loop):
        assert other.url == running[0].url
        assert loop.run(other.read(f"gs://{bucket.name}/x")) == b"there already"
    assert not (tmp_path / "unused").exists()


def test_a_storage_that_has_ended_is_an_error(tmp_path):
    with running_storage(tmp_path) as (storage, loop):
        _server_of(os.getpid(), str(tmp_path)).kill()
        with pytest.raises(StorageError, match=r"^gs://bucket/x could not be read: Cloud Storage answered 503"):
            eventually(lambda: loop.run(storage.read("gs://bucket/x")))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_storage_process_outlives_its_emulator(tmp_path, how):
    program = (
        "import signal, sys\n"
        "from airflow_nbjobs.emulator import Emulator\n"
        "with Emulator(runner='simulated', data=sys.argv[1]) as emulator:\n"
        "    print(emulator.storage_url, flush=True)\n"
        "    signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True) as parent:
        url = parent.stdout.readline().strip()
        assert httpx.get(f"{url}/storage/v1/b?project=p").json()["kind"] == "storage#buckets"
        server = _server_of(parent.pid, str(tmp_path / "storage"))
        parent.send_signal(how)
        parent.wait()
        eventually(lambda: is_gone(server.pid))


def _server_of(pid, root):
    children = psutil.Process(pid).children(recursive=True)
    return next(child for child in children if "watchdog.py" not in str(child.cmdline()) and root in child.cmdline())


def message_of(answer):
    """Return the message of an error in JSON, whose reason is one of Google's words, or the text of another one."""
    if not answer.headers["content-type"].startswith("application/json"):
        return answer.text
    error = answer.json()["error"]
    assert error["errors"][0]["reason"] in {"notFound", "conflict", "conditionNotMet"}
    assert (error["code"], error["errors"][0]["message"]) == (answer.status_code, error["message"])
    return error["message"]


NO_BUCKET = "The specified bucket does not exist."
NO_OBJECT = "No such object: {bucket}/a/none"
UPLOAD = "/upload/storage/v1/b/no-bucket/o?name=x&uploadType="


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/storage/v1/b/{bucket}/o/a%2Fnone", 404, NO_OBJECT),
        ("GET", "/storage/v1/b/{bucket}/o/a%2Fnone?alt=media", 404, NO_OBJECT),
        ("GET", "/download/storage/v1/b/{bucket}/o/a%2Fnone?alt=media", 404, NO_OBJECT),
        ("GET", "/storage/v1/b/{bucket}/o/a%2Fnone?alt=media&generation=5", 404, NO_OBJECT),
        ("GET", "/{bucket}/a/none", 404, NO_OBJECT),
        ("DELETE", "/storage/v1/b/{bucket}/o/a%2Fnone", 404, NO_OBJECT),
        ("PATCH", "/storage/v1/b/{bucket}/o/a%2Fnone", 404, NO_OBJECT),
        ("POST", "/storage/v1/b/{bucket}/o/a%2Fnone/rewriteTo/b/{bucket}/o/y", 404, NO_OBJECT),
        ("POST", "/storage/v1/b/{bucket}/o/there/rewriteTo/b/no-bucket/o/y", 404, NO_BUCKET),
        ("POST", "/storage/v1/b/{bucket}/o/y/compose", 404, "One of the source objects does not exist."),
        ("GET", "/storage/v1/b/no-bucket", 404, NO_BUCKET),
        ("GET", "/storage/v1/b/no-bucket/o", 404, NO_BUCKET),
        ("GET", "/storage/v1/b/no-bucket/o/x?alt=media", 404, NO_BUCKET),
        ("DELETE", "/storage/v1/b/no-bucket", 404, NO_BUCKET),
        ("POST", UPLOAD + "media", 404, NO_BUCKET),
        ("POST", UPLOAD + "resumable", 404, NO_BUCKET),
        ("DELETE", "/storage/v1/b/{bucket}", 409, "The bucket you tried to delete is not empty."),
        ("POST", "/storage/v1/b?project=p", 409, "Your previous request to create the named bucket succeeded"),
    ],
)
def test_an_error_has_the_text_of_the_real_service(running, bucket, method, path, status, message):
    bucket.blob("there").upload_from_string(b"1")
    body = {"name": bucket.name, "sourceObjects": [{"name": "missing"}]} if method in {"POST", "PATCH"} else None
    url = running[0].url + path.format(bucket=bucket.name)
    answer = httpx.request(method, url, json=body, trust_env=False)
    assert answer.status_code == status
    assert message_of(answer).startswith(message.format(bucket=bucket.name))


def test_a_range_beyond_the_object_is_refused_as_gcsfs_expects(running, bucket):
    bucket.blob("x").upload_from_string(b"1")
    url = f"{running[0].url}/storage/v1/b/{bucket.name}/o/x?alt=media"
    answer = httpx.get(url, headers={"Range": "bytes=10-20"}, trust_env=False)
    assert (answer.status_code, answer.text) == (416, "Request range not satisfiable")


def test_airflows_log_handler_takes_a_missing_log_for_a_new_one(client, bucket):
    """It uploads a log only when the error for the old one says that there is none."""
    from airflow.providers.google.cloud.log.gcs_task_handler import GCSRemoteLogIO

    with pytest.raises(NotFound) as missing:
        bucket.blob("dag/task/attempt=1.log").download_as_bytes()
    assert GCSRemoteLogIO.no_log_found(missing.value)
