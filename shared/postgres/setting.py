"""The setting of a database URL. It is read, and each file that it names is tried, at the start."""

from collections.abc import Mapping
from typing import Annotated

from shared.postgres.connection_parameters import ConnectionParameters, SslMode
from shared.postgres.connection_uri import EXPECTED
from shared.postgres.database_url import read_database_url
from shared.postgres.exposure import UNSAID, is_unsaid
from shared.postgres.libpq import VARIABLES
from shared.postgres.password_file import require_password_file
from shared.postgres.tls import DatabaseFileError, tls_context
from shared.setting_types import Form, InvalidSettingError


def parse_database_url(url: str, variables: Mapping[str, str]) -> ConnectionParameters:
    """Return what a URL asks for; raise `InvalidSettingError`, also if a file of it is unusable.

    A password goes to another machine only with `verify-full`, or with a mode that the URL says.
    """
    parameters = read_database_url(url, variables)
    try:
        if parameters.tls.mode is not SslMode.DISABLE:
            tls_context(parameters.tls)
        if parameters.password is None and parameters.password_file is not None:
            require_password_file(parameters.password_file)
    except DatabaseFileError as error:
        raise InvalidSettingError(str(error)) from None
    if is_unsaid(parameters):
        raise InvalidSettingError(UNSAID)
    return parameters


DatabaseUrl = Annotated[
    ConnectionParameters, Form(parse_database_url, EXPECTED, reads=tuple(VARIABLES))
]
