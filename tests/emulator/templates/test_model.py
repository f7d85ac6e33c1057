"""Templates that are given at the start beside those that are created."""

from __future__ import annotations

from airflow_nbjobs.emulator import Emulator
from tests.support.emulator_api import Api


def test_a_created_template_is_accepted_beside_the_given_ones():
    with Emulator(runner="simulated", templates=["given"]) as emulator, Api(emulator, "templates") as api:
        place = f"{api.jobs.rpartition('/')[0]}/notebookRuntimeTemplates"
        answer = api.http.post(place, json={"displayName": "a"}, params={"notebookRuntimeTemplateId": "created"})
        assert answer.status_code == 200, answer.text
        listed = api.http.get(place, params={"orderBy": "displayName desc"}).json()["notebookRuntimeTemplates"]
        assert [template["displayName"] for template in listed] == ["given", "a"]
        assert api.get(f"{place}/given")["displayName"] == "given"
        codes = {}
        for name in ("given", "created", "other"):
            job = api.job(customEnvironmentSpec=None, notebookRuntimeTemplateResourceName=f"{place}/{name}")
            codes[name] = api.post(job).status_code
        assert codes == {"given": 200, "created": 200, "other": 404}
        refused = api.http.delete(f"{place}/given")
        assert refused.json()["error"]["status"] == "FAILED_PRECONDITION"
        assert api.http.post(place, json={"displayName": "a"}, params={"notebookRuntimeTemplateId": "given"}).is_error
