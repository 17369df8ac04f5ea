-- One row for each right that the facade's role still has and should not.
SELECT 'TEMPORARY on this database' AS remaining
WHERE has_database_privilege('registry_facade', current_database(), 'TEMPORARY')
UNION ALL
SELECT 'CREATE on this database'
WHERE has_database_privilege('registry_facade', current_database(), 'CREATE')
UNION ALL
SELECT 'CREATE on the schema public'
WHERE has_schema_privilege('registry_facade', 'public', 'CREATE')
UNION ALL
SELECT 'EXECUTE on ' || oid::regprocedure
FROM pg_catalog.pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace
  AND proname IN ('lo_create', 'lo_creat', 'lo_from_bytea', 'lo_open', 'lo_put',
                  'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lowrite')
  AND has_function_privilege('registry_facade', oid, 'EXECUTE')
UNION ALL
SELECT 'EXECUTE on ' || oid::regprocedure
FROM pg_catalog.pg_proc
WHERE pronamespace = 'public'::regnamespace
  AND has_function_privilege('registry_facade', oid, 'EXECUTE')
