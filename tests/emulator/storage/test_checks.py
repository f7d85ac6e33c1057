"""Names that lead out of a bucket's folder are refused in every form, in every part of a request."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.support.running import running_storage, talk


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("storage") / "objects"


@pytest.fixture(scope="module")
def url(root):
    (root.parent / "secret.txt").write_text("secret")
    with running_storage(root) as (storage, _):
        assert _post(storage.url, "/storage/v1/b?project=p", {"name": "bucket"})[0] == 200
        assert _post(storage.url, "/upload/storage/v1/b/bucket/o?uploadType=media&name=good", {})[0] == 200
        yield storage.url


@pytest.fixture(autouse=True)
def _nothing_gets_out(root, url):
    yield
    assert sorted(path.name for path in root.parent.iterdir()) == ["objects", "secret.txt"]
    assert {path.name for path in root.iterdir()} <= {"bucket", "bucket.bucketMetadata"}
    assert {path.name for path in (root / "bucket").iterdir()} <= {"good", "good.metadata"}


def _post(url, target, body, *headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = () if any(header.startswith("Content-Type") for header in headers) else ("Content-Type: application/json",)
    return talk(url, f"POST {target} HTTP/1.1", "Host: localhost", *kind, *headers, body=content)


# Up, here, empty parts, control characters, percent-encodings, backslashes, and too long names.
BAD = [
    "../secret.txt", "../../x", "a/../../secret.txt", "a/..", "..", "./good", "a//b", "/etc/passwd", "folder/",
    "good\0.txt", "good\r\nx", "%2e%2e/secret.txt", "..%2fsecret.txt", "%252e%252e%252fsecret.txt", "good%00",
    "..\\secret.txt", "x" * 1025, "x" * 231,
]  # fmt: skip
bad_names = pytest.mark.parametrize("name", BAD, ids=lambda name: repr(name)[:30])


def _multipart(metadata):
    return (
        b"--b\r\nContent-Type: application/json\r\n\r\n"
        + metadata
        + b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--"
    )


@bad_names
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("before", ["/storage/v1/b/bucket/o/", "/download/storage/v1/b/bucket/o/", "/bucket/"])
def test_a_bad_name_in_a_path_is_refused(url, before, method, name):
    status, _, body = talk(url, f"{method} {before}{quote(name, safe='')} HTTP/1.1", "Host: localhost")
    assert status in {400, 404, 405}
    assert b"secret" not in body.replace(b"secret.txt", b"")


@bad_names
@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/upload/storage/v1/b/bucket/o?uploadType=media&name={bad}", {}),
        ("/upload/storage/v1/b/bucket/o?uploadType=multipart&name={bad}", {}),
        ("/upload/storage/v1/b/bucket/o?uploadType=resumable&name={bad}", {}),
        ("/storage/v1/b/bucket/o/good/rewriteTo/b/bucket/o/{bad}", {}),
        ("/storage/v1/b/bucket/o/{bad}/rewriteTo/b/bucket/o/good", {}),
        ("/storage/v1/b/bucket/o/good/rewriteTo/b/{bad}/o/good", {}),
        ("/storage/v1/b/bucket/o/good/copyTo/b/bucket/o/{bad}", {}),
        ("/storage/v1/b/bucket/o/{bad}/copyTo/b/bucket/o/good", {}),
        ("/storage/v1/b/bucket/o/good/copyTo/b/{bad}/o/good", {}),
        ("/storage/v1/b/bucket/o/{bad}/compose", {"sourceObjects": []}),
    ],
)
def test_a_bad_name_in_a_target_is_refused(url, target, body, name):
    assert _post(url, target.format(bad=quote(name, safe="")), body)[0] == 400


@bad_names
def test_a_bad_name_in_metadata_is_refused(url, name):
    assert _post(url, "/storage/v1/b/bucket/o/good/compose", {"sourceObjects": [{"name": name}]})[0] == 400
    assert _post(url, "/storage/v1/b/bucket/o/good/compose", {"SOURCEOBJECTS": [{"NaMe": name}]})[0] == 400
    for key in ("name", "NAME", "Name"):
        body = json.dumps({key: name}).encode()
        assert _post(url, "/upload/storage/v1/b/bucket/o?uploadType=resumable", body)[0] == 400
        kind = "Content-Type: multipart/related; boundary=b"
        assert _post(url, "/upload/storage/v1/b/bucket/o?uploadType=multipart", _multipart(body), kind)[0] == 400


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../x", "a..b", "UPPER", "a/b", "bu\0", "b", "%2e%2e", "x.bucketMetadata"]
)
def test_a_bad_bucket_name_is_refused(url, name):
    bad = quote(name, safe="")
    assert _post(url, "/storage/v1/b?project=p", {"name": name})[0] == 400
    assert _post(url, "/storage/v1/b/?project=p", {"NAME": name})[0] == 400
    assert talk(url, f"DELETE /storage/v1/b/{bad} HTTP/1.1", "Host: localhost")[0] in {400, 404, 405}
    assert talk(url, f"GET /storage/v1/b/{bad}/o HTTP/1.1", "Host: localhost")[0] in {400, 404}
    assert _post(url, f"/upload/storage/v1/b/{bad}/o?uploadType=media&name=x", {})[0] in {400, 404}


def test_a_bucket_in_the_body_does_not_replace_the_one_in_the_path(url, root):
    """fake-gcs-server takes the body's bucket, the real service the path's."""
    for key in ("bucket", "BUCKET", "buc\u212aet"):
        body = json.dumps({key: "elsewhere", "name": "x"}).encode()
        status, headers, _ = _post(url, "/upload/storage/v1/b/bucket/o?uploadType=resumable", body)
        assert status == 200
        assert "/b/bucket/o?" in headers["location"]
        body = json.dumps({key: "..", "name": "x"}).encode()
        assert _post(url, "/upload/storage/v1/b/bucket/o?uploadType=resumable", body)[0] == 400


def test_a_key_given_twice_does_not_hide_a_name(url):
    body = b'{"sourceObjects": [{"name": "good"}], "sourceObjects": [{"name": "../secret.txt"}]}'
    assert _post(url, "/storage/v1/b/bucket/o/copy/compose", body)[0] == 400
    assert _post(url, "/upload/storage/v1/b/bucket/o?uploadType=media&name=x&name=../x", {})[0] == 400
    assert _post(url, "/upload/storage/v1/b/bucket/o?uploadType=resumable", b'{"name": "x", "Name": "../x"}')[0] == 400


@pytest.mark.parametrize(
    "raw", ["../..", "%c0%ae%c0%ae/x", "..;/x", "%2e%2e/%2e%2e", "..%5cx", "a/%2e%2e/%2e%2e/%2e%2e/x"]
)
def test_a_path_that_climbs_is_refused_however_it_is_written(url, raw):
    for before in ("/storage/v1/b/bucket/o/", "/download/storage/v1/b/bucket/o/", "/bucket/", "/storage/v1/b/", "/"):
        status, _, body = talk(url, f"GET {before}{raw} HTTP/1.1", "Host: localhost")
        assert status in {400, 404}
        assert body != b"secret"


@pytest.mark.parametrize("prefix", ["../", "..%2f", "%252e%252e%252f", "a/../../", "%00"])
def test_a_list_by_a_prefix_that_climbs_is_refused(url, prefix):
    assert talk(url, f"GET /storage/v1/b/bucket/o?prefix={prefix} HTTP/1.1", "Host: localhost")[0] == 400


@pytest.mark.parametrize(
    "target",
    ["POST /_internal/delete_all", "PUT /_internal/config", "POST /_internal/reseed", "POST /batch/storage/v1"],
)
def test_other_requests_are_not_forwarded(url, target):
    assert talk(url, f"{target} HTTP/1.1", "Host: localhost", body=b"{}")[0] == 404
    assert talk(url, "GET /storage/v1/b/bucket/o/good?alt=media HTTP/1.1", "Host: localhost")[2] == b"{}"


def test_compressed_metadata_is_not_forwarded(url):
    """fake-gcs-server would decompress what was not checked."""
    for target in ("/storage/v1/b?project=p", "/upload/storage/v1/b/bucket/o?uploadType=resumable"):
        assert _post(url, target, b"\x1f\x8b", "Content-Encoding: gzip")[0] == 400


def test_an_unbounded_metadata_body_is_cut_off(url):
    assert _post(url, "/storage/v1/b?project=p", b'{"name": "' + b"x" * 2**21)[0] in {400, 413}
    kind = "Content-Type: multipart/related; boundary=b"
    upload = "/upload/storage/v1/b/bucket/o?uploadType=multipart"
    assert _post(url, upload, _multipart(b'{"name": "' + b"x" * 2**21), kind)[0] == 400
    assert _post(url, "/storage/v1/b?project=p", b"[" * 100_000)[0] == 400
