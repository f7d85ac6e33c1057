"""Invalid jobs are refused before they are sent, with argument, value and remedy; valid ones never are."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_nbjobs.api.checks import LABEL_LIMIT, check, valid_labels
from airflow_nbjobs.api.job import (
    DataformRepositorySource,
    DirectNotebookSource,
    EncryptionSpec,
    GcsNotebookSource,
    NotebookExecutionJob,
)
from airflow_nbjobs.exceptions import InvalidNotebookJobError

GCS = GcsNotebookSource(uri="gs://bucket/report.ipynb")
DATAFORM = DataformRepositorySource(dataform_repository_resource_name="projects/p/locations/l/repositories/r")
GOOD = NotebookExecutionJob(
    display_name="report",
    gcs_notebook_source=GCS,
    custom_environment_spec={},
    gcs_output_uri="gs://bucket/runs",
    service_account="runner@p.iam.gserviceaccount.com",
)

letters = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=LABEL_LIMIT)
buckets = st.from_regex(r"[a-z0-9][a-z0-9._-]{1,60}[a-z0-9]", fullmatch=True)
objects = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).filter(
    lambda key: key[-1] != "/"
)
uris = st.builds("gs://{}/{}".format, buckets, objects)
emails = st.from_regex(r"[a-z][a-z0-9-]{0,20}@[a-z]{1,9}\.iam\.gserviceaccount\.com", fullmatch=True)
sources = st.one_of(
    uris.map(lambda uri: {"gcs_notebook_source": GcsNotebookSource(uri=uri)}),
    st.builds(
        lambda uri, number: {"gcs_notebook_source": GcsNotebookSource(uri=uri, generation=str(number))},
        uris,
        st.integers(1, 10**19 - 1),
    ),
    st.from_regex(r"[0-9a-f]{7,40}", fullmatch=True).map(
        lambda sha: {"dataform_repository_source": replace(DATAFORM, commit_sha=sha)}
    ),
    st.binary(min_size=1).map(lambda content: {"direct_notebook_source": DirectNotebookSource(content=content)}),
)
environments = st.sampled_from(
    [
        {"custom_environment_spec": {"machineSpec": {"machineType": "e2-standard-4"}}},
        {"notebook_runtime_template_resource_name": "projects/p/locations/l/notebookRuntimeTemplates/1"},
    ]
)
identities = emails.flatmap(lambda email: st.sampled_from([{"service_account": email}, {"execution_user": email}]))
good_jobs = st.builds(
    lambda source, environment, identity, rest: NotebookExecutionJob(**source, **environment, **identity, **rest),
    sources,
    environments,
    identities,
    st.fixed_dictionaries(
        {
            "display_name": st.text(st.characters(codec="utf-8"), min_size=1, max_size=128),
            "gcs_output_uri": uris | buckets.map("gs://{}".format) | uris.map("{}/".format),
        },
        optional={
            "labels": st.dictionaries(letters, letters | st.just(""), max_size=5),
            "execution_timeout": st.timedeltas(timedelta(seconds=1), timedelta(days=7)),
            "kernel_name": st.just("python3"),
            "encryption_spec": st.just(EncryptionSpec(kms_key_name="projects/p/locations/l/keyRings/r/cryptoKeys/k")),
        },
    ),
)


@given(good_jobs)
def test_a_valid_job_is_never_refused(job):
    assert check(job) is job


NAN = float("nan")
BAD = {
    "no source": ({"gcs_notebook_source": None}, "no notebook source: give notebook='gs://…'"),
    "two sources": ({"dataform_repository_source": DATAFORM}, "has 2 notebook sources"),
    "a bucket alone": ({"gcs_notebook_source": GcsNotebookSource(uri="gs://bkt")}, "'gs://bkt' names no object"),
    "a folder": ({"gcs_notebook_source": GcsNotebookSource(uri="gs://bkt/x/")}, "'gs://bkt/x/' names no object"),
    "no uri": ({"gcs_notebook_source": GcsNotebookSource()}, "notebook=None names no object"),
    "a generation": (
        {"gcs_notebook_source": GcsNotebookSource(uri="gs://bbb/x", generation="٣")},
        "generation '٣' of 'gs://bbb/x' is not a number",
    ),
    "a repository": (
        {"gcs_notebook_source": None, "dataform_repository_source": DataformRepositorySource()},
        "notebook=None is not a repository: write 'projects/p",
    ),
    "a commit": (
        {"gcs_notebook_source": None, "dataform_repository_source": replace(DATAFORM, commit_sha="main")},
        "The commit 'main' of",
    ),
    "an empty notebook": (
        {"gcs_notebook_source": None, "direct_notebook_source": DirectNotebookSource(content=b"")},
        "is empty",
    ),
    "no environment": ({"custom_environment_spec": None}, "no environment: give runtime_template or custom"),
    "two environments": ({"notebook_runtime_template_resource_name": "t"}, "has 2 environments"),
    "an environment in words": ({"custom_environment_spec": "big"}, "custom_environment_spec='big' is not a dict"),
    "a workbench in words": ({"workbench_runtime": "big"}, "workbench_runtime='big' is not a dict"),
    "no identity": ({"service_account": None}, "no identity: give service_account or execution_user"),
    "two identities": ({"execution_user": "a@b.example"}, "has 2 identities"),
    "no e-mail": ({"service_account": "runner"}, "service_account='runner' is not an e-mail address: give that alone"),
    "a member of a policy": ({"service_account": "serviceAccount:a@b.example"}, "a@b.example' is not an e-mail"),
    "an account's whole name": ({"service_account": "projects/-/serviceAccounts/a@b.example"}, "is not an e-mail"),
    "a number for an e-mail": ({"service_account": 5}, "service_account=5 is not an e-mail address"),
    "a user on a workbench": (
        {"service_account": None, "execution_user": "a@b.example", "workbench_runtime": {}},
        "execution_user='a@b.example' does not go with workbench_runtime",
    ),
    "no display name": ({"display_name": None}, "display_name=None is not text: give 1 to 128"),
    "a long display name": ({"display_name": "x" * 129}, "has 129 characters: give 1 to 128"),
    "no output": ({"gcs_output_uri": None}, "gcs_output_uri=None is not a folder in Cloud Storage: write 'gs://bucket'"),
    "an output elsewhere": ({"gcs_output_uri": "s3://b"}, "gcs_output_uri='s3://b' is not a folder"),
    "an invalid bucket": ({"gcs_output_uri": "gs://Bucket/x"}, "gcs_output_uri='gs://Bucket/x' is not a folder"),
    "a bucket with a line break": ({"gcs_output_uri": "gs://bucket\n"}, "is not a folder"),
    "no time": ({"execution_timeout": timedelta(0)}, "job_timeout=0 seconds is not possible"),
    "less than no time": ({"execution_timeout": timedelta(seconds=-1)}, "job_timeout=-1 seconds"),
    "an upper-case label": ({"labels": {"Team": "a"}}, "The label key 'Team' has 'T' in it: use lower-case"),
    "a spaced label": ({"labels": {"team": "a b"}}, "The value 'a b' of the label 'team' has ' ' in it"),
    "a long label": ({"labels": {"team": "x" * 65}}, "has 65 characters: give at most 64, or set sanitize_labels=True"),
    "too many labels": (
        {"labels": {f"k{i}": "x" for i in range(65)}},
        "There are 65 labels: give at most 64",
    ),
    "an empty label": ({"labels": {"": "a"}}, "The label key '' is empty: give it a name"),
    "not a number": ({"custom_environment_spec": {"a": NAN}}, "custom.*={'a': nan} cannot be written as JSON"),
    "a date in a dict": ({"custom_environment_spec": {"a": datetime.now(UTC)}}, "cannot be written as JSON"),
    "half a character": ({"display_name": "\ud83d"}, "display_name=.* cannot be written as JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=BAD)
def test_a_bad_job_is_refused_with_argument_value_and_remedy(change, words):
    with pytest.raises(InvalidNotebookJobError, match=words) as refused:
        check(replace(GOOD, **change))
    assert isinstance(refused.value, ValueError)


def test_all_problems_are_in_one_message():
    with pytest.raises(InvalidNotebookJobError) as refused:
        check(NotebookExecutionJob())
    for word in ("source", "environment", "identity", "display_name", "gcs_output_uri"):
        assert word in str(refused.value)


def test_a_long_value_is_shortened_in_the_message():
    with pytest.raises(InvalidNotebookJobError) as refused:
        check(replace(GOOD, display_name="x" * 10_000))
    assert len(str(refused.value)) < 300


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.booleans(), max_size=4))
def test_sanitized_labels_are_valid(labels):
    made = valid_labels({key: value for key, value in labels.items() if key})
    assert check(replace(GOOD, labels=made)).labels == made
    assert valid_labels(made) == made


def test_labels_are_sanitized_by_the_documented_rules():
    given: Any = {"Team": "Data & AI", "größe": 5, "x" * 70: "y" * 70}
    assert valid_labels(given) == {
        "team": "data___ai",
        "größe": "5",
        "x" * 64: "y" * 64,
    }


def test_reserved_labels_stay_unchanged():
    labels = {"aiplatform.googleapis.com/notebook_runtime_out_of_org_warning": "ack"}
    assert valid_labels(labels) == labels
    assert check(replace(GOOD, labels=labels)).labels == labels


@given(uris)
def test_a_source_is_one_whole_object(uri):
    for wrong in (f"{uri}/", f"{uri}\n", f" {uri}"):
        with pytest.raises(InvalidNotebookJobError, match="names no object"):
            check(replace(GOOD, gcs_notebook_source=GcsNotebookSource(uri=wrong)))


@pytest.mark.parametrize("uri", [5, b"gs://bucket/x", "", "gs://", "gs:///x", "gs://b/x", "/gs://bucket/x", "http://x"])
def test_anything_else_is_not_an_object(uri):
    with pytest.raises(InvalidNotebookJobError, match="names no object"):
        check(replace(GOOD, gcs_notebook_source=GcsNotebookSource(uri=uri)))


@given(good_jobs)
def test_a_valid_job_can_be_sent(job):
    assert json.loads(json.dumps(job.to_request(), ensure_ascii=False, allow_nan=False).encode()) == job.to_request()
