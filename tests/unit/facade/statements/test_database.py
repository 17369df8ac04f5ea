"""Of several hosts each is tried alone, in order, and nothing else of the URL changes."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.statements.database import urls_of_hosts

hosts = st.sampled_from(["a.example", "b.example:5433", "127.0.0.1:5432", "[::1]:5432", "%2Frun"])
users = st.sampled_from(["", "u@", "u:p@", "u%40x:p%2C%40%3A@"])
queries = st.dictionaries(
    st.sampled_from(["sslmode", "application_name", "target_session_attrs"]),
    st.sampled_from(["any", "primary", "read-write", "a,b&c"]),
)


def url_of(user: str, places: list[str], query: dict[str, str]) -> str:
    """Return a URL as an operator writes it."""
    pairs = "&".join(f"{k}={v.replace('&', '%26').replace(',', '%2C')}" for k, v in query.items())
    return f"postgresql://{user}{','.join(places)}/registry" + (f"?{pairs}" if pairs else "")


@given(users, st.lists(hosts, min_size=1, max_size=4), queries)
def test_each_host_is_tried_alone(user: str, places: list[str], query: dict[str, str]) -> None:
    """With the same user, password, database and options."""
    parts = [urlsplit(url) for url in urls_of_hosts(url_of(user, places, query))]
    assert [each.netloc for each in parts] == [f"{user}{place}" for place in places]
    for each in parts:
        assert (each.scheme, each.path) == ("postgresql", "/registry")
        assert dict(parse_qsl(each.query)) == query


@given(st.lists(hosts, min_size=1, max_size=4))
def test_standbys_that_are_preferred_are_all_tried_before_a_primary(places: list[str]) -> None:
    """Otherwise asyncpg would decide among the hosts that it is given together."""
    url = url_of("u:p@", places, {"target_session_attrs": "prefer-standby"})
    tried = [
        (dict(parse_qsl(urlsplit(each).query))["target_session_attrs"], urlsplit(each).netloc)
        for each in urls_of_hosts(url)
    ]
    expected = [(target, f"u:p@{place}") for target in ("standby", "any") for place in places]
    assert tried == expected


@pytest.mark.parametrize("query", ["host=a,b", "host=a&port=5433", "port=5433,5434"])
def test_hosts_in_the_query_are_left_as_they_are(query: str) -> None:
    """The other form of libpq, which asyncpg reads."""
    url = f"postgresql://u:p@/registry?{query}"
    assert list(urls_of_hosts(url)) == [url]
