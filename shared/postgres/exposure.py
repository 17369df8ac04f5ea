"""Whether a password may reach somebody other than the server that is meant. Pure.

asyncpg logs in by whichever method a server asks for, and may send the password as it is. So
whoever stands in the server's place gets it, unless a certificate proves who the server is. A
server of this machine (a socket or a loopback address) needs no certificate.
"""

from ipaddress import IPv6Address, ip_address

from shared.postgres.connection_parameters import ConnectionParameters, Server, SslMode

UNSAID = (
    "a password is sent to another machine, and the URL says no sslmode: sslmode=verify-full proves"
    " whose server it is (with sslrootcert, if its authority is your own); anything weaker, which"
    " gives the password to whoever stands in the server's place, has to be said in the URL"
)


def is_unsaid(parameters: ConnectionParameters) -> bool:
    """Tell whether a password would leave without proof although the URL does not allow that."""
    return _is_exposed(parameters) and not parameters.tls.is_said


def exposure_of(parameters: ConnectionParameters) -> str | None:
    """Return what to warn of at each start, in words; None if there is nothing."""
    if not _is_exposed(parameters):
        return None
    return (
        f"sslmode={parameters.tls.mode} does not prove whose server it is: whoever stands in its"
        " place is sent the password; sslmode=verify-full does"
    )


def _is_exposed(parameters: ConnectionParameters) -> bool:
    has_password = parameters.password is not None or parameters.password_file is not None
    is_away = not all(map(is_local, parameters.servers))
    return has_password and is_away and parameters.tls.mode is not SslMode.VERIFY_FULL


def is_local(server: Server) -> bool:
    """Tell whether a server is reached without leaving this machine."""
    if server.is_socket:
        return True
    place = server.address or server.name
    try:
        address = ip_address(place.partition("%")[0])
    except ValueError:
        name = place.rstrip(".").lower()
        return name == "localhost" or name.endswith(".localhost")  # RFC 6761 section 6.3
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback
