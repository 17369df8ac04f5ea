"""What each setting of the control plane is for: the words that `control-plane settings` prints."""

from collections.abc import Mapping
from typing import Final

from shared.settings_table import Meaning

MEANINGS: Final[Mapping[str, Meaning]] = {
    "database_url": Meaning("Postgres, as a login that is a member of registry_control_plane"),
    "migration_database_url": Meaning(
        "Postgres for `migrate`, as the owner of the schema", default="CONTROL_PLANE_DATABASE_URL"
    ),
    "sealing_public_key_file": Meaning("the public sealing key, to which secrets are sealed"),
    "statement_private_key_file": Meaning(
        "the private statement key, which signs approvals, operators and the audit log"
    ),
    "statement_public_key_file": Meaning(
        "earlier public statement keys, whose signatures go on being valid; `audit` needs the"
        " public halves of all keys, here or as the private key",
        default="the private key's own public half; without both, required by audit",
    ),
    "listen": Meaning("where the admin API is served"),
    "tls_cert_file": Meaning(
        "the API's certificate, with its chain; reloaded when it changes",
        default="none: plain HTTP",
    ),
    "tls_key_file": Meaning(
        "the private key of that certificate; reloaded with it", default="none: plain HTTP"
    ),
    "behind_tls_proxy": Meaning(
        "whether plain HTTP may be served on any address, because a proxy in front speaks TLS"
    ),
    "console": Meaning("whether there are pages for operators, at `/console/`"),
    "public_url": Meaning(
        "where browsers reach this control plane, if a proxy in front hands on another Host header",
        default="the Host header of each request",
    ),
    "session_key_file": Meaning(
        "the keys that seal the console's sessions, one a line, of which the first one seals"
        " (`control-plane keys --only session` makes one); several control planes share them",
        default="none: a key of this process, with which its sessions end",
    ),
    "statement_level": Meaning(
        "the newest statements that may be written: raise it once every facade and every control"
        " plane runs a version that reads this level (docs/operating.md)"
    ),
    "require_second_approver": Meaning("whether nobody may approve a draft of their own"),
    "check_networks": Meaning(
        "networks that checks may reach beside public addresses", default="none"
    ),
    "webhooks_file": Meaning(
        "a YAML or JSON file of targets that are told what happens, with their secrets; read again"
        " when it changes (docs/webhooks.md)",
        default="none: nobody is told",
    ),
    "aws_principal_arn": Meaning(
        "the facade's AWS identity, which `grant` prints", default="none: a marked placeholder"
    ),
    "device_identity": Meaning(
        "which name in a certificate says who the device is, as facades are told: devices that no"
        " certificate can name are not revoked by mistake",
        default="none: a revoked device's id is taken as it is",
    ),
    "device_uri_pattern": Meaning(
        "the form of the URI SAN if the identity is spiffe, as facades are told",
        default="the facade's own default",
    ),
    "device_profiles_file": Meaning(
        "the file of identity profiles, as facades are given it, read at the start"
        " (docs/devices.md)",
        default="none: CONTROL_PLANE_DEVICE_IDENTITY says it for all",
    ),
    "google_token_url": Meaning("Google's token endpoint, for checks", default="Google's own"),
    "https_proxy": Meaning(
        "the outbound proxy for checks and Google's token endpoint", default="none"
    ),
    "no_proxy": Meaning(
        "hosts, suffixes and networks that are reached directly, and not through the proxy",
        default="none",
    ),
    "state_dir": Meaning(
        "a folder that keeps over restarts what was seen of the signed log: a log that was cut off,"
        " or that went back with a restored database, is refused",
        default="none",
    ),
    "oidc_issuer": Meaning(
        "the OpenID provider whose persons may log in, by the URL of its issuer as its tokens say"
        " it (docs/single-sign-on.md)",
        default="none: operators' tokens alone",
    ),
    "oidc_client_id": Meaning("the console's client at the provider", default="none: no login"),
    "oidc_client_secret": Meaning("that client's secret", default="none: a public client"),
    "oidc_cli_client_id": Meaning(
        "the public client with which `control-plane login` logs in", default="none"
    ),
    "oidc_audience": Meaning(
        "the audience of the access tokens that the API takes; it may not be a client's id, so that"
        " ID tokens are refused",
        default="none: the API takes no access tokens",
    ),
    "oidc_audience_parameter": Meaning(
        "in which parameter a login from a shell names the audience, if the provider wants it",
        default="none: the scopes say it",
    ),
    "oidc_scopes": Meaning("what a login asks for; offline_access is asked for in a shell alone"),
    "oidc_roles_claim": Meaning(
        "the claim whose values give a person's role; with dots, a path, as realm_access.roles"
    ),
    "oidc_roles": Meaning(
        "JSON: which value stands for which role; a person has the highest of theirs",
        default="none; required with CONTROL_PLANE_OIDC_ISSUER",
    ),
    "oidc_name_claim": Meaning(
        "the claim that says how a person is called in lists and in the audit log; an email has to"
        " be verified"
    ),
    "oidc_ca_file": Meaning(
        "the CA of the provider's certificate, beside the system's", default="none"
    ),
    "oidc_networks": Meaning(
        "networks in which the provider may be reached beside public addresses", default="none"
    ),
    "log_level": Meaning("the lowest level that is logged"),
    "allow_core_dumps": Meaning(
        "whether a crash may write a core, with passwords and keys in it, and a debugger attach"
    ),
    "drain_timeout": Meaning("how long running requests may take after SIGTERM"),
    "url": Meaning("the admin API, for commands in a shell"),
    "token": Meaning(
        "an operator's token, for commands in a shell", default="none: what `login` got"
    ),
    "login_file": Meaning(
        "the file, readable for its owner alone, in which `login` keeps what it got",
        default="the keyring of the machine; without one, login.json in the folder of one's own"
        " settings",
    ),
    "ca_file": Meaning(
        "the CA of the API's certificate, for commands in a shell", default="the system's CAs"
    ),
}
