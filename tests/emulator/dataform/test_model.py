"""What is kept of any series of commits, compared with dictionaries."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.emulator.dataform.files import entries
from airflow_nbjobs.emulator.dataform.model import Repositories
from airflow_nbjobs.emulator.errors import ServiceError
from airflow_nbjobs.emulator.resources import Parent

PARENT = Parent.parse("p", "us-central1")
names = st.sampled_from(["a", "b", "a.ipynb"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
contents = st.none() | st.binary(max_size=3)
series = st.lists(st.dictionaries(paths, contents, max_size=3), max_size=6)


def allowed(files, changes):
    """Say whether the files after the changes can lie in folders, and the deleted ones were there."""
    after = {**files, **changes}
    left = {path for path, content in after.items() if content is not None}
    return all(path in files for path, content in changes.items() if content is None) and not any(
        other.startswith(f"{path}/") for path in left for other in left
    )


@given(series)
def test_each_commit_reads_as_the_files_were_then(commits):
    with closing(Repositories(Path(":memory:"))) as repositories:
        repository = repositories.create(PARENT, "r", {})
        files, kept = {}, {}
        for changes in commits:
            if not allowed(files, changes):
                with pytest.raises(ServiceError) as refused:
                    repositories.commit(repository, changes, {})
                assert refused.value.code == 400
                continue
            sha = repositories.commit(repository, changes, {})
            after = {**files, **changes}
            files = {path: content for path, content in after.items() if content is not None}
            kept[sha] = files
        assert [commit.sha for commit in repositories.history(repository)] == list(reversed(kept))
        for sha, expected in kept.items():
            found = repositories.files(repository, sha)
            assert {path: repositories.read(repository, path, sha) for path in found} == expected


@given(st.frozensets(paths, max_size=8))
def test_walking_the_directories_finds_every_file_once(found):
    files = {path: "" for path in found if not any(other.startswith(f"{path}/") for other in found)}
    seen, folders = [], [""]
    while folders:
        listed = [entry for _, entry in entries(files, folders.pop())]
        seen += [entry["file"] for entry in listed if "file" in entry]
        folders += [entry["directory"] for entry in listed if "directory" in entry]
    assert sorted(seen) == sorted(files)
