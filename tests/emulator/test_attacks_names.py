"""Names that would lead out of a bucket's folder are refused in every form, wherever a request can carry a name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support.running import running_storage, talk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage") / "objects"


@pytest.fixture(scope="module")
def url(root: Path) -> Iterator[str]:
    (root.parent / "secret.txt").write_text("secret")
    with running_storage(root) as (storage, _):
        assert _post(storage.url, "/storage/v1/b?project=p", {"name": "bucket"})[0] == 200
        assert _post(storage.url, "/upload/storage/v1/b/bucket/o?uploadType=media&name=good", {})[0] == 200
        yield storage.url


@pytest.fixture(autouse=True)
def _nothing_gets_out(root: Path, url: str) -> Iterator[None]:
    yield
    assert sorted(path.name for path in root.parent.iterdir()) == ["objects", "secret.txt"]
    assert {path.name for path in root.iterdir()} <= {"bucket", "bucket.bucketMetadata"}
    assert {path.name for path in (root / "bucket").iterdir()} <= {"good", "good.metadata"}


def _post(url: str, target: str, body: object, *headers: str) -> tuple[int, dict[str, str], bytes]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = () if any(header.startswith("Content-Type") for header in headers) else ("Content-Type: application/json",)
    return talk(url, f"POST {target} HTTP/1.1", "Host: localhost", *kind, *headers, body=content)


BAD = {
    "up": "../secret.txt",
    "up twice": "../../x",
    "up in the middle": "a/../../secret.txt",
    "ends in up": "a/..",
    "only up": "..",
    "here": "./good",
    "empty part": "a//b",
    "starts empty": "/etc/passwd",
    "ends empty": "folder/",
    "NUL": "good\0.txt",
    "line end": "good\r\nx",
    "encoded up": "%2e%2e/secret.txt",
    "encoded slash": "..%2fsecret.txt",
    "encoded twice": "%252e%252e%252fsecret.txt",
    "encoded NUL": "good%00",
    "backslash": "..\\secret.txt",
    "too long": "x" * 1025,
    "part too long": "x" * 231,
}
bad_names = pytest.mark.parametrize("name", BAD.values(), ids=BAD.keys())


def _multipart(metadata: bytes) -> bytes:
    return (
        b"--b\r\nContent-Type: application/json\r\n\r\n"
        + metadata
        + b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--"
    )


@bad_names
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("before", ["/storage/v1/b/bucket/o/", "/download/storage/v1/b/bucket/o/", "/bucket/"])
def test_a_bad_name_in_a_path_is_refused(url: str, before: str, method: str, name: str) -> None:
    status, _, body = talk(url, f"{method} {before}{quote(name, safe='')} HTTP/1.1", "Host: localhost")
    assert status in {400, 404, 405}
    assert b"secret" not in body.replace(b"secret.txt", b"")


@bad_names
def test_a_bad_name_in_a_query_is_refused(url: str, name: str) -> None:
    for kind in ("media", "multipart", "resumable"):
        assert _post(url, f"/upload/storage/v1/b/bucket/o?uploadType={kind}&name={quote(name, safe='')}", {})[0] == 400


@bad_names
def test_a_bad_name_in_metadata_is_refused(url: str, name: str) -> None:
    for key in ("name", "NAME", "Name"):
        body = json.dumps({key: name}).encode()
        assert _post(url, "/upload/storage/v1/b/bucket/o?uploadType=resumable", body)[0] == 400
        kind = "Content-Type: multipart/related; boundary=b"
        assert _post(url, "/upload/storage/v1/b/bucket/o?uploadType=multipart", _multipart(body), kind)[0] == 400


@bad_names
def test_a_bad_name_as_the_source_or_target_of_a_copy_is_refused(url: str, name: str) -> None:
    bad = quote(name, safe="")
    for verb in ("rewriteTo", "copyTo"):
        assert _post(url, f"/storage/v1/b/bucket/o/good/{verb}/b/bucket/o/{bad}", {})[0] == 400
        assert _post(url, f"/storage/v1/b/bucket/o/{bad}/{verb}/b/bucket/o/good", {})[0] == 400
        assert _post(url, f"/storage/v1/b/bucket/o/good/{verb}/b/{bad}/o/good", {})[0] == 400


@bad_names
def test_a_bad_name_in_a_composition_is_refused(url: str, name: str) -> None:
    assert _post(url, "/storage/v1/b/bucket/o/good/compose", {"sourceObjects": [{"name": name}]})[0] == 400
    assert _post(url, "/storage/v1/b/bucket/o/good/compose", {"SOURCEOBJECTS": [{"NaMe": name}]})[0] == 400
    assert _post(url, f"/storage/v1/b/bucket/o/{quote(name, safe='')}/compose", {"sourceObjects": []})[0] == 400


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../x", "a..b", "UPPER", "a/b", "bu\0", "b", "%2e%2e", "x.bucketMetadata"]
)
def test_a_bad_bucket_name_is_refused(url: str, name: str) -> None:
    bad = quote(name, safe="")
    assert _post(url, "/storage/v1/b?project=p", {"name": name})[0] == 400
    assert _post(url, "/storage/v1/b/?project=p", {"NAME": name})[0] == 400
    assert talk(url, f"DELETE /storage/v1/b/{bad} HTTP/1.1", "Host: localhost")[0] in {400, 404, 405}
    assert talk(url, f"GET /storage/v1/b/{bad}/o HTTP/1.1", "Host: localhost")[0] in {400, 404}
    assert _post(url, f"/upload/storage/v1/b/{bad}/o?uploadType=media&name=x", {})[0] in {400, 404}


def test_a_bucket_in_the_body_does_not_replace_the_one_in_the_path(url: str, root: Path) -> None:
    """fake-gcs-server takes the body's bucket, the real service the path's."""
    for key in ("bucket", "BUCKET", "buc\u212aet"):
        body = json.dumps({key: "elsewhere", "name": "x"}).encode()
        status, headers, _ = _post(url, "/upload/storage/v1/b/bucket/o?uploadType=resumable", body)
        assert status == 200
        assert "/b/bucket/o?" in headers["location"]
        body = json.dumps({key: "..", "name": "x"}).encode()
        assert _post(url, "/upload/storage/v1/b/bucket/o?uploadType=resumable", body)[0] == 400


def test_a_key_given_twice_does_not_hide_a_name(url: str) -> None:
    body = b'{"sourceObjects": [{"name": "good"}], "sourceObjects": [{"name": "../secret.txt"}]}'
    assert _post(url, "/storage/v1/b/bucket/o/copy/compose", body)[0] == 400
    assert _post(url, "/upload/storage/v1/b/bucket/o?uploadType=media&name=x&name=../x", {})[0] == 400
    assert _post(url, "/upload/storage/v1/b/bucket/o?uploadType=resumable", b'{"name": "x", "Name": "../x"}')[0] == 400


@pytest.mark.parametrize(
    "raw", ["../..", "%c0%ae%c0%ae/x", "..;/x", "%2e%2e/%2e%2e", "..%5cx", "a/%2e%2e/%2e%2e/%2e%2e/x"]
)
def test_a_path_that_climbs_is_refused_however_it_is_written(url: str, raw: str) -> None:
    for before in ("/storage/v1/b/bucket/o/", "/download/storage/v1/b/bucket/o/", "/bucket/", "/storage/v1/b/", "/"):
        status, _, body = talk(url, f"GET {before}{raw} HTTP/1.1", "Host: localhost")
        assert status in {400, 404}
        assert body != b"secret"


@pytest.mark.parametrize("prefix", ["../", "..%2f", "%252e%252e%252f", "a/../../", "%00"])
def test_a_list_by_a_prefix_that_climbs_is_refused(url: str, prefix: str) -> None:
    assert talk(url, f"GET /storage/v1/b/bucket/o?prefix={prefix} HTTP/1.1", "Host: localhost")[0] == 400


@pytest.mark.parametrize(
    "target",
    ["POST /_internal/delete_all", "PUT /_internal/config", "POST /_internal/reseed", "POST /batch/storage/v1"],
)
def test_what_is_not_cloud_storage_for_one_object_is_not_passed_on(url: str, target: str) -> None:
    assert talk(url, f"{target} HTTP/1.1", "Host: localhost", body=b"{}")[0] == 404
    assert talk(url, "GET /storage/v1/b/bucket/o/good?alt=media HTTP/1.1", "Host: localhost")[2] == b"{}"


def test_metadata_that_is_compressed_is_not_passed_on(url: str) -> None:
    """fake-gcs-server would unpack what nobody looked at."""
    for target in ("/storage/v1/b?project=p", "/upload/storage/v1/b/bucket/o?uploadType=resumable"):
        assert _post(url, target, b"\x1f\x8b", "Content-Encoding: gzip")[0] == 400


def test_an_unbounded_metadata_body_is_cut_off(url: str) -> None:
    assert _post(url, "/storage/v1/b?project=p", b'{"name": "' + b"x" * 2**21)[0] in {400, 413}
    kind = "Content-Type: multipart/related; boundary=b"
    upload = "/upload/storage/v1/b/bucket/o?uploadType=multipart"
    assert _post(url, upload, _multipart(b'{"name": "' + b"x" * 2**21), kind)[0] == 400
    assert _post(url, "/storage/v1/b?project=p", b"[" * 100_000)[0] == 400
