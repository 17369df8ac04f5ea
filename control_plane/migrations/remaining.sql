-- One row for each right that the facade's role still has and should not: the statement that takes
-- it away. In the same order each time.
SELECT format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC, registry_facade;', current_database())
       AS remaining
WHERE has_database_privilege('registry_facade', current_database(), 'TEMPORARY')
UNION ALL
SELECT format('REVOKE CREATE ON DATABASE %I FROM PUBLIC, registry_facade;', current_database())
WHERE has_database_privilege('registry_facade', current_database(), 'CREATE')
UNION ALL
SELECT 'REVOKE CREATE ON SCHEMA public FROM PUBLIC, registry_facade;'
WHERE has_schema_privilege('registry_facade', 'public', 'CREATE')
UNION ALL
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, registry_facade;', oid::regprocedure)
FROM pg_catalog.pg_proc
WHERE (
    (pronamespace = 'pg_catalog'::regnamespace
     AND proname IN ('lo_create', 'lo_creat', 'lo_from_bytea', 'lo_open', 'lo_put',
                     'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lowrite'))
    OR pronamespace = 'public'::regnamespace
  )
  AND prokind = 'f'
  AND has_function_privilege('registry_facade', oid, 'EXECUTE')
ORDER BY remaining
