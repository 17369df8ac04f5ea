-- The logins that use a group role and may open as many connections as the server has.
SELECT quote_ident(rolname) AS login, pg_has_role(oid, 'registry_control_plane', 'USAGE') AS writes
FROM pg_catalog.pg_roles
WHERE rolcanlogin AND NOT rolsuper AND rolconnlimit = -1
  AND (pg_has_role(oid, 'registry_control_plane', 'USAGE')
    OR pg_has_role(oid, 'registry_facade', 'USAGE'))
ORDER BY rolname
