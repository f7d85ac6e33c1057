"""Runtime templates, as Google's ``NotebookServiceClient`` and our own clients find them.

Those whose names are in ``docs/assumptions.md`` answer a question that only the real service can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_nbjobs.emulator import Emulator
from tests.contract.resource_clients import CLIENTS, ResourceClient
from tests.contract.scenarios import refused
from tests.contract.world import World

MACHINE = {"machineType": "e2-standard-4"}


@pytest.fixture(scope="module")
def nbjobs_emulator_session(simulation: Emulator) -> Emulator:
    """Use the emulator that starts no kernels."""
    return simulation


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, world: World) -> Iterator[ResourceClient]:
    """Connect a client."""
    client = CLIENTS[request.param](world.endpoint, world.credentials)
    yield client
    client.close()


def collection(world: World) -> str:
    """Return the collection of the world's templates."""
    return f"{world.parent}/notebookRuntimeTemplates"


def described(world: World, name: str = "a", **fields: Any) -> dict[str, Any]:
    """Describe a small template."""
    network = {"enableInternetAccess": True}
    known = {"displayName": f"{world.prefix}-{name}", "machineSpec": MACHINE, "networkSpec": network}
    return {**known, "eucConfig": {"eucDisabled": True}, **fields}


@pytest.fixture
def make(client: ResourceClient, world: World) -> Iterator[Callable[..., dict[str, Any]]]:
    """Create templates, which are deleted afterwards."""
    made: list[str] = []

    def create(name: str = "a", template_id: str = "", **fields: Any) -> dict[str, Any]:
        operation = client.create_template(world.parent, described(world, name, **fields), template_id)
        done = world.until(lambda: client.get_operation(operation["name"]), lambda seen: seen.get("done"))
        made.append(done["response"]["name"])
        return client.get(made[-1])

    yield create
    listed = client.list(collection(world), page_size=100)
    left = [template["name"] for template in listed.get("notebookRuntimeTemplates", [])]
    for name in made:
        if name in left:
            client.delete(name)


def test_a_create_operation_names_the_template_and_gives_it(client, world):
    operation = client.create_template(world.parent, described(world))
    pattern = rf"(projects/\d+/locations/{world.location}/notebookRuntimeTemplates/\d{{15,20}})/operations/\d+"
    match = re.fullmatch(pattern, operation["name"])
    assert match, operation
    done = world.until(lambda: client.get_operation(operation["name"]), lambda seen: seen.get("done"))
    assert done["response"]["name"] == match[1]
    assert done["metadata"]["@type"].endswith("CreateNotebookRuntimeTemplateOperationMetadata")
    made = client.get(match[1])
    assert (made["machineSpec"], made["notebookRuntimeType"]) == (MACHINE, "USER_DEFINED")
    client.delete(match[1])


def test_an_own_id_is_the_id_and_stays_taken_after_a_delete(client, world, make):
    made = make(template_id=world.prefix)
    assert made["name"].endswith(f"/notebookRuntimeTemplates/{world.prefix}")
    refused("ALREADY_EXISTS", lambda: client.create_template(world.parent, described(world), world.prefix))
    client.delete(made["name"])
    refused("NOT_FOUND", lambda: client.get(made["name"]))
    refused("ALREADY_EXISTS", lambda: client.create_template(world.parent, described(world), world.prefix))


def test_a_patch_of_a_template_changes_its_mask_only(client, world, make):
    made = make()
    new = {"displayName": f"{world.prefix}-b", "machineSpec": {"machineType": "n1-standard-4"}}
    changed = {"name": made["name"], **new}
    patched = client.patch(changed, ["display_name"])
    assert (patched["displayName"], patched["machineSpec"]) == (f"{world.prefix}-b", MACHINE)
    assert client.get(made["name"]) == patched
    refused("INVALID_ARGUMENT", lambda: client.patch(changed, ["machine_spec"]))


def test_a_deleted_template_is_gone(client, world, make):
    made = make()
    operation = client.delete(made["name"])
    done = world.until(lambda: client.get_operation(operation["name"]), lambda seen: seen.get("done"))
    assert done["response"]["@type"].endswith("google.protobuf.Empty")
    refused("NOT_FOUND", lambda: client.get(made["name"]))
    refused("NOT_FOUND", lambda: client.delete(made["name"]))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('displayName="{p}-a"', "a"),
        ('labels.run="{p}" AND display_name!="{p}-a"', "b"),
        ('labels.run="{p}" AND labels.team="x"', "b"),
        ('labels.run="{p}" AND labels.team:*', "b"),
        ('labels.run="{p}" AND labels:team', "b"),
        ('labels.run="{p}" AND machineType=e2-standard-4', "a"),
        ('labels.run="{p}" AND notebookRuntimeType=USER_DEFINED', "ab"),
        ('labels.run="{p}" AND notebookRuntimeType=ONE_CLICK', ""),
        ("notebookRuntimeTemplate={id}", "a"),
    ],
)
def test_a_filter_finds_the_templates_it_describes(client, world, make, text, found):
    made = make(labels={"run": world.prefix})
    make("b", labels={"run": world.prefix, "team": "x"}, machineSpec={"machineType": "n1-standard-4"})
    where = text.format(p=world.prefix, id=made["name"].rpartition("/")[2])
    listed = client.list(collection(world), where=where, order_by="display_name")
    assert "".join(each["displayName"][-1] for each in listed.get("notebookRuntimeTemplates", [])) == found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("displayName", ""),
        ("displayName", "x" * 129),
        ("labels", {"Team": "a"}),
        ("idleShutdownConfig", {"idleTimeout": "60s"}),
    ],
)
def test_a_template_with_a_bad_field_is_refused(client, world, field, value):
    refused("INVALID_ARGUMENT", lambda: client.create_template(world.parent, described(world, **{field: value})))


def test_google_s_future_of_a_create_gives_the_template(world):
    client = CLIENTS["google"](world.endpoint, world.credentials)
    from google.cloud import aiplatform_v1

    template = aiplatform_v1.NotebookRuntimeTemplate(display_name=f"{world.prefix}-a")
    made = client.notebooks.create_notebook_runtime_template(
        parent=world.parent, notebook_runtime_template=template
    ).result(timeout=world.seconds)
    assert made.display_name == f"{world.prefix}-a"
    ended = client.notebooks.delete_notebook_runtime_template(name=made.name).result(timeout=world.seconds)
    assert ended is not None
    client.close()
