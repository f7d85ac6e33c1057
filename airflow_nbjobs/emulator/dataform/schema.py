"""The fields of repositories and commits, as in Google's discovery document of dataform v1, revision 20261030.

A test compares them with the document.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_nbjobs.emulator.json_format import Kind

REPOSITORY: Mapping[str, Kind] = {
    "containingFolder": "string",
    "createTime": "datetime",
    "dataEncryptionState": {"kmsKeyVersionName": "string"},
    "displayName": "string",
    "endUserAuthConfig": {"oauthConfig": {"additionalOauthScopes": ["string"]}},
    "gitRemoteSettings": {
        "authenticationTokenSecretVersion": "string",
        "defaultBranch": "string",
        "effectiveDefaultBranch": "string",
        "gitRepositoryLink": "string",
        "sshAuthenticationConfig": {"hostPublicKey": "string", "userPrivateKeySecretVersion": "string"},
        "tokenStatus": ("TOKEN_STATUS_UNSPECIFIED", "NOT_FOUND", "INVALID", "VALID"),
        "url": "string",
    },
    "internalMetadata": "string",
    "kmsKeyName": "string",
    "labels": "labels",
    "name": "string",
    "npmrcEnvironmentVariablesSecretVersion": "string",
    "serviceAccount": "string",
    "setAuthenticatedUserAdmin": "boolean",
    "teamFolderName": "string",
    "workspaceCompilationOverrides": dict.fromkeys(("defaultDatabase", "schemaSuffix", "tablePrefix"), "string"),
}
COMMIT: Mapping[str, Kind] = {
    "commitMetadata": {"author": {"emailAddress": "string", "name": "string"}, "commitMessage": "string"},
    "fileOperations": "any",  # a map of OPERATION by path
    "requiredHeadCommitSha": "string",
}
OPERATION: Mapping[str, Kind] = {"deleteFile": {}, "writeFile": {"contents": "bytes"}}
# Fields that a client does not set, or that only the service uses.
NOT_KEPT = {
    "createTime", "dataEncryptionState", "internalMetadata", "name", "setAuthenticatedUserAdmin", "teamFolderName",
}  # fmt: skip
