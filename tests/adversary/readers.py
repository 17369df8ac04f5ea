"""Who reads bytes from outside, and which tests attack each reader.

`OWN_READERS`: each function that bears `shared.outside_bytes.reads_bytes_of`, with the property
test that gives it anything, and the attack in which a running process reads such bytes.
`LIBRARY_READERS`: what libraries read for us, with what bounds them.
"""

from typing import Final

from attrs import frozen

from shared.outside_bytes import Party


@frozen
class Tested:
    """Where a reader is attacked: `path::test` below `tests/`."""

    property_test: str
    attack: str


@frozen
class LibraryReader:
    """A parser of a library, whose bytes it reads, and which constant or setting bounds them."""

    parser: str
    parties: tuple[Party, ...]
    bounded_by: tuple[str, ...]


OWN_READERS: Final[dict[str, Tested]] = {
    "control_plane.proof.checkpoint.log_at": Tested(
        "unit/control_plane/test_chain.py::test_arbitrary_bytes_are_no_checkpoint",
        "adversary/control_plane/test_owner_of_the_tables.py::test_a_log_that_is_written_into",
    ),
    "control_plane.connections.request.parse_connection_request": Tested(
        "unit/control_plane/connections/test_request.py::test_any_object_is_a_request_or_names_its_fields",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.declared.source_files.read_json": Tested(
        "unit/control_plane/declared/test_yaml_reading.py::test_any_bytes_are_documents_or_refused_with_one_error",
        "system/control_plane/test_apply.py::test_wrong_files_are_told_by_line_and_exit_with_2",
    ),
    "control_plane.declared.yaml_reading.read_yaml": Tested(
        "unit/control_plane/declared/test_yaml_reading.py::test_any_bytes_are_documents_or_refused_with_one_error",
        "system/control_plane/test_apply.py::test_wrong_files_are_told_by_line_and_exit_with_2",
    ),
    "control_plane.device_revocations.device_certificate.parse_device_certificate": Tested(
        "unit/control_plane/device_revocations/test_device_certificate.py"
        "::test_any_text_is_a_certificate_or_refused",
        "system/control_plane/console/test_devices.py"
        "::test_a_private_key_is_refused_and_not_shown_again",
    ),
    "control_plane.device_revocations.fields.parse_issuer": Tested(
        "unit/control_plane/device_revocations/test_fields.py::test_any_text_is_an_issuer_in_one_form_or_refused",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.device_revocations.fields.parse_serial": Tested(
        "unit/control_plane/device_revocations/test_fields.py::test_any_text_is_a_serial_in_one_form_or_refused",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.device_revocations.request.parse_revocation_request": Tested(
        "unit/control_plane/device_revocations/test_request.py::test_any_object_is_one_party_or_names_what_is_wrong",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.device_revocations.request.parse_revocation_requests": Tested(
        "unit/control_plane/device_revocations/test_request.py::test_any_list_is_requests_or_names_what_is_wrong",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.reading.field_reader.read_object": Tested(
        "unit/control_plane/connections/test_request.py::test_any_bytes_are_an_object_or_unreadable",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.operators.operator_token.OperatorToken.parse": Tested(
        "unit/control_plane/operators/test_operator_token.py::test_anything_else_is_no_token_and_is_not_quoted",
        "adversary/control_plane/test_stranger.py::test_tokens_of_invented_names",
    ),
    "control_plane.operator_accounts.request.parse_operator_request": Tested(
        "unit/control_plane/operators/test_accounts.py::test_any_object_is_an_operator_or_names_its_fields",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.operator_accounts.request.parse_rotation_request": Tested(
        "unit/control_plane/operators/test_accounts.py::test_any_object_is_a_rotation_or_names_its_fields",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.operator_accounts.operator_sessions.parse_caller": Tested(
        "unit/control_plane/operators/test_accounts.py::test_any_caller_is_somebody_or_nobody",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.operator_accounts.routes.parse_name_cursor": Tested(
        "unit/control_plane/operators/test_accounts.py::test_any_other_cursor_is_refused",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.reading.entity_tag.SeenTags.of_header": Tested(
        "unit/control_plane/reading/test_entity_tag.py::test_any_header_names_tags_or_fits_nothing",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.single_sign_on.presented_token.PresentedToken.parse": Tested(
        "unit/control_plane/single_sign_on/test_provider.py"
        "::test_any_text_is_a_presented_token_or_refused",
        "system/control_plane/test_access_tokens.py::test_any_other_token_is_refused_in_words",
    ),
    "control_plane.single_sign_on.provider_metadata.ProviderMetadata.parse": Tested(
        "unit/control_plane/single_sign_on/test_provider.py"
        "::test_any_answer_is_metadata_or_refused",
        "system/control_plane/test_access_tokens.py::test_the_provider_is_away",
    ),
    "control_plane.single_sign_on.authorization.code_of": Tested(
        "unit/control_plane/single_sign_on/test_authorization.py"
        "::test_any_answer_is_a_code_or_refused",
        "system/control_plane/test_login.py::test_an_answer_of_another_login_is_not_taken",
    ),
    "control_plane.single_sign_on.begun_login.begun_login": Tested(
        "unit/control_plane/single_sign_on/test_begun_login.py"
        "::test_any_cookie_is_a_begun_login_or_refused",
        "system/control_plane/console/test_single_sign_on.py"
        "::test_only_the_browser_that_began_a_login_ends_it",
    ),
    "control_plane.single_sign_on.authorization.ProviderTokens.parse": Tested(
        "unit/control_plane/single_sign_on/test_authorization.py"
        "::test_any_token_answer_is_read_or_refused",
        "system/control_plane/test_login.py::test_a_person_logs_in_by_the_browser",
    ),
    "control_plane.single_sign_on.provider_metadata.parse_keys": Tested(
        "unit/control_plane/single_sign_on/test_provider.py::test_any_answer_is_keys_or_refused",
        "system/control_plane/test_access_tokens.py::test_the_provider_is_away",
    ),
    "control_plane.reading.query_reader.parse_place": Tested(
        "unit/control_plane/http/test_http_call.py::test_any_other_cursor_is_a_wrong_parameter",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "control_plane.console.submission.parse_submission": Tested(
        "unit/control_plane/console/test_submission.py::test_any_bytes_are_a_form_or_unreadable",
        "adversary/control_plane/test_nonsense.py::test_a_stranger_who_sends_nonsense_forms",
    ),
    "control_plane.sessions.session_seal.SessionSeal.read": Tested(
        "unit/control_plane/sessions/test_session_seal.py::test_any_other_text_is_no_session",
        "adversary/control_plane/test_nonsense.py::test_a_stranger_who_sends_nonsense_forms",
    ),
    "control_plane.proof.walk_back.WalkBack.take": Tested(
        "unit/control_plane/test_chain.py::test_arbitrary_rows_are_a_chain_or_refused",
        "adversary/control_plane/test_owner_of_the_tables.py::test_a_log_that_is_written_into",
    ),
    "control_plane.webhooks.position.position_of": Tested(
        "unit/control_plane/webhooks/test_position.py"
        "::test_any_signed_bytes_are_a_position_or_refused",
        "system/control_plane/test_webhooks.py"
        "::test_a_position_that_is_moved_or_taken_away_costs_repeats_or_a_reported_gap",
    ),
    "control_plane.webhooks.targets_file.parse_targets": Tested(
        "unit/control_plane/webhooks/test_targets_file.py::test_any_bytes_are_targets_or_refused",
        "system/control_plane/test_webhooks.py"
        "::test_the_file_is_read_again_and_a_wrong_one_changes_nothing",
    ),
    "facade.commands.written_files.parse_record": Tested(
        "unit/facade/commands/test_written_files.py::test_any_bytes_are_a_record_or_refused",
        "system/facade/test_documented_clients.py::test_a_set_up_that_is_not_ours_is_left_as_it_is",
    ),
    "facade.content.json_fields.fields_of": Tested(
        "unit/facade/content/test_json_fields.py::test_arbitrary_bytes_are_an_object_or_unreadable",
        "adversary/facade/test_manifests.py::test_manifests_with_as_much_in_them_as_there_may_be",
    ),
    "facade.content.manifest.verify_manifest": Tested(
        "unit/facade/content/test_manifest.py::test_arbitrary_bytes_are_a_manifest_or_refused",
        "adversary/facade/test_nonsense.py::test_a_registry_that_answers_nonsense",
    ),
    "facade.content.referrer.referrer_of": Tested(
        "unit/facade/content/test_referrer.py::test_any_bytes_are_a_referrer_or_left_out",
        "adversary/facade/test_referrers.py::test_referrers_with_as_much_in_them_as_there_may_be",
    ),
    "facade.content.referrers_index.read_listed": Tested(
        "unit/facade/content/test_referrers_index.py::test_any_bytes_are_a_list_or_none",
        "adversary/facade/test_referrers.py::test_lists_with_as_much_in_them_as_there_may_be",
    ),
    "facade.values.device_identity.IdentityRule.identify": Tested(
        "unit/facade/values/test_device_identity.py::test_any_uri_is_an_identity_of_that_very_text_or_nobodys",
        "system/facade/test_certificates.py::test_a_certificate_that_identifies_nobody_is_denied",
    ),
    "facade.values.identity_profiles.IdentityProfiles.identify": Tested(
        "unit/facade/values/test_identity_profiles.py"
        "::test_a_subject_is_read_as_trying_everything_reads_it",
        "system/facade/test_identity_profiles.py"
        "::test_two_cas_have_devices_of_one_name_in_two_fleets",
    ),
    "shared.identity_profiles_file.parse_profiles": Tested(
        "unit/shared/test_identity_profiles_file.py::test_any_bytes_are_profiles_or_refused",
        "system/facade/test_identity_profiles.py"
        "::test_the_file_is_read_again_and_a_wrong_one_changes_nothing",
    ),
    "shared.other_name.text_of_other_name": Tested(
        "unit/facade/values/test_identity_profiles.py::test_any_other_name_is_one_text_or_nobody",
        "system/facade/test_identity_profiles.py"
        "::test_a_hardware_module_names_a_device_and_one_with_more_in_it_nobody",
    ),
    "shared.plain_yaml.read_plain_yaml": Tested(
        "unit/shared/test_plain_yaml.py::test_any_bytes_are_what_a_safe_loader_reads_or_refused",
        "system/control_plane/test_webhooks.py"
        "::test_the_file_is_read_again_and_a_wrong_one_changes_nothing",
    ),
    "facade.devices.revocation_list.RevocationList.parse_all": Tested(
        "unit/facade/devices/test_revocation_list.py::test_bytes_that_are_no_list_are_refused",
        "adversary/facade/test_nonsense.py::test_files_of_nonsense",
    ),
    "facade.values.byte_range.ByteRanges.parse": Tested(
        "unit/facade/values/test_byte_range.py::test_any_header_is_ranges_or_ignored_or_too_many",
        "adversary/facade/test_device.py::test_a_device_that_asks_for_a_thousand_ranges",
    ),
    "facade.pulls.named.read_names": Tested(
        "unit/facade/pulls/test_named.py::test_whatever_is_asked_takes_a_bounded_place_in_the_log",
        "adversary/facade/test_nonsense.py::test_a_device_that_asks_for_nonsense",
    ),
    "facade.values.pull_path.parse_request": Tested(
        "unit/facade/values/test_pull_path.py::test_any_target_is_a_pull_of_that_very_spelling_or_refused",
        "adversary/facade/test_nonsense.py::test_a_device_that_asks_for_nonsense",
    ),
    "facade.values.referrers_request.parse_referrers": Tested(
        "unit/facade/values/test_referrers_request.py::test_any_target_is_a_request_or_none",
        "adversary/facade/test_nonsense.py::test_a_device_that_asks_for_nonsense",
    ),
    "facade.approvals.noted_subjects.NotedSubjects.note": Tested(
        "unit/facade/approvals/test_noted_subjects.py"
        "::test_a_name_is_read_or_everything_is_compared",
        "adversary/facade/test_database_writer.py::test_a_storm_of_notifications",
    ),
    "facade.approvals.claims.claim_of": Tested(
        "unit/facade/approvals/test_claims.py::test_any_json_claims_something_or_nothing",
        "adversary/facade/test_state_folder.py::test_sixty_thousand_forged_rows",
    ),
    "facade.approvals.verified_row.verify_row": Tested(
        "unit/facade/approvals/test_refusals_are_bounded.py::test_any_row_is_refused_in_words",
        "adversary/facade/test_database_writer.py::test_sixty_thousand_subjects_of_3_kilobytes",
    ),
    "shared.canonical_json.from_json": Tested(
        "unit/shared/test_canonical_json.py::test_any_json_is_refused_or_read_with_one_error",
        "adversary/facade/test_nonsense.py::test_a_database_writer_who_writes_nonsense",
    ),
    "shared.keys.load_sealing_private_keys": Tested(
        "unit/shared/test_keys.py::test_a_damaged_file_is_refused_or_is_a_key",
        "adversary/facade/test_nonsense.py::test_files_of_nonsense",
    ),
    "shared.keys.load_statement_public_keys": Tested(
        "unit/shared/test_keys.py::test_a_damaged_file_is_refused_or_is_a_key",
        "adversary/facade/test_nonsense.py::test_files_of_nonsense",
    ),
    "shared.oci.Digest.parse": Tested(
        "unit/shared/test_oci.py::test_what_is_accepted_as_digest_is_canonical",
        "adversary/facade/test_nonsense.py::test_a_device_that_asks_for_nonsense",
    ),
    "shared.pem.pem_blocks": Tested(
        "unit/shared/test_pem.py::test_any_bytes_are_blocks_or_refused",
        "adversary/facade/test_files.py::test_one_byte_of_each_file_is_another_all_the_time",
    ),
    "shared.postgres.message_frames.MessageFrames.follow": Tested(
        "unit/shared/postgres/test_message_frames.py::test_any_pieces_are_the_same_messages",
        "adversary/facade/test_hostile_database.py::test_a_database_that_answers_without_an_end",
    ),
    "shared.registry_host.RegistryHost.parse": Tested(
        "unit/shared/test_registry_host.py::test_what_is_accepted_is_canonical",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "shared.registry_host.RegistryHost.parse_path_form": Tested(
        "unit/facade/values/test_pull_path.py::test_any_target_is_a_pull_of_that_very_spelling_or_refused",
        "adversary/facade/test_nonsense.py::test_a_device_that_asks_for_nonsense",
    ),
    "shared.statement.verify": Tested(
        "unit/shared/test_statement.py::test_a_changed_byte_is_refused",
        "adversary/facade/test_nonsense.py::test_a_database_writer_who_writes_nonsense",
    ),
    "shared.upstream.answer.ContentRange.parse": Tested(
        "unit/upstream/test_content_range.py::test_any_text_is_a_range_or_an_error",
        "adversary/facade/test_nonsense.py::test_a_registry_that_answers_nonsense",
    ),
    "shared.upstream.challenge.parse_challenges": Tested(
        "unit/upstream/test_challenge.py::test_any_text_is_read_or_refused",
        "adversary/facade/test_nonsense.py::test_a_registry_that_answers_nonsense",
    ),
    "shared.upstream.credentials.google_key.GoogleServiceAccountKey.from_secret": Tested(
        "unit/upstream/credentials/test_google_key.py::test_any_sealed_bytes_are_a_key_or_refused",
        "adversary/control_plane/test_nonsense.py::test_an_operator_who_sends_nonsense",
    ),
    "shared.upstream.head.framed_once": Tested(
        "unit/upstream/test_head.py::test_any_bytes_are_given_to_the_parser",
        "adversary/facade/test_nonsense.py::test_a_registry_that_answers_nonsense",
    ),
    "shared.upstream.proxy.answered_status": Tested(
        "unit/upstream/test_proxy.py::test_any_answer_is_read",
        "system/facade/test_commands.py::test_everything_goes_through_the_operators_proxy_and_no_other",
    ),
    "shared.upstream.realm.Realm.parse": Tested(
        "unit/upstream/test_realm.py::test_any_text_is_a_realm_or_refused",
        "adversary/facade/test_nonsense.py::test_a_registry_that_answers_nonsense",
    ),
    "shared.upstream.redirect.next_hop": Tested(
        "unit/upstream/test_redirect.py::test_any_location_leads_to_a_plain_https_host_or_is_refused",
        "adversary/facade/test_nonsense.py::test_a_registry_that_answers_nonsense",
    ),
    "shared.upstream.retry_after.retry_after_seconds": Tested(
        "unit/upstream/test_retry_after.py::test_any_text_is_a_bounded_delay_or_none",
        "adversary/facade/test_nonsense.py::test_a_registry_that_answers_nonsense",
    ),
    "shared.upstream.tags.read_tag_page": Tested(
        "unit/upstream/test_tags.py::test_any_answer_is_a_page_or_an_error",
        "system/facade/test_commands.py::test_a_list_whose_link_cannot_be_read_says_that_it_is_not_whole",
    ),
    "shared.upstream.token_exchange.access_token": Tested(
        "unit/upstream/test_token_lifetime.py::test_any_body_is_a_token_or_an_error",
        "adversary/facade/test_nonsense.py::test_a_registry_that_answers_nonsense",
    ),
    "shared.upstream.uri_reference.resolve": Tested(
        "unit/upstream/test_uri_reference.py::test_any_text_leads_to_a_plain_host_or_nowhere",
        "adversary/facade/test_nonsense.py::test_a_registry_that_answers_nonsense",
    ),
}

LIBRARY_READERS: Final = (
    LibraryReader(
        "PyYAML, through libyaml, the files of webhook targets and of identity profiles",
        (Party.FILE,),
        (
            "shared.identity_profiles_file.MAX_PROFILES_FILE_BYTES",
            "shared.identity_profiles_file.MAX_DEPTH",
            "control_plane.webhooks.targets_file.MAX_FILE_BYTES",
            "control_plane.webhooks.targets_file.MAX_DEPTH",
        ),
    ),
    LibraryReader(
        "orjson",
        (Party.REGISTRY,),
        (
            "facade.content.manifest.WHOLLY_READ_BYTES",
            "facade.content.referrer.MAX_REFERRER_FIELD_BYTES",
            "shared.upstream.token_exchange.MAX_TOKEN_RESPONSE_BYTES",
            "shared.upstream.tags.MAX_TAG_PAGE_BYTES",
        ),
    ),
    LibraryReader(
        "aiohttp's HTTP request parser",
        (Party.DEVICE,),
        (
            "facade.devices.incoming_requests.MAX_REQUEST_LINE_BYTES",
            "facade.devices.incoming_requests.MAX_HEADER_FIELD_BYTES",
            "facade.devices.incoming_requests.MAX_RANGE_FIELD_BYTES",
            "facade.devices.incoming_requests.MAX_HEADER_FIELDS",
            "facade.devices.device_connection.MAX_HEAD_BYTES",
            "facade.devices.connection_deadlines.REQUEST_HEADERS_SECONDS",
        ),
    ),
    LibraryReader(
        "aiohttp's HTTP response parser",
        (Party.REGISTRY,),
        (
            "shared.upstream.transport.MAX_HEADER_BYTES",
            "shared.upstream.transport.MAX_HEADERS",
            "shared.upstream.framing.MAX_INTERIM_ANSWERS",
            "shared.upstream.framing.MAX_HEADS_BYTES",
            "shared.upstream.framing.MAX_FRAMING_BYTES",
            "shared.upstream.framing.FRAMING_BYTES_PER_SECOND",
            "shared.upstream.patience.STALL_SECONDS",
        ),
    ),
    LibraryReader(
        "OpenSSL, through pyOpenSSL, for devices",
        (Party.DEVICE, Party.STRANGER),
        (
            "facade.devices.tls.HANDSHAKE_TIMEOUT_SECONDS",
            "facade.devices.handshake_time.MOST_HANDSHAKE_SECONDS",
            "facade.devices.tls.MAX_HANDSHAKE_STEPS",
        ),
    ),
    LibraryReader(
        "OpenSSL, through ssl, for the admin API",
        (Party.OPERATOR, Party.STRANGER),
        ("control_plane.http.listener.HANDSHAKE_SECONDS",),
    ),
    LibraryReader(
        "asyncpg, PostgreSQL's protocol",
        (Party.DATABASE,),
        (
            "facade.approvals.database.QUERY_TIMEOUT_SECONDS",
            "facade.approvals.database.MOST_ANSWER_BYTES",
            "control_plane.database.database.MOST_ANSWER_BYTES",
            "shared.postgres.connect.MOST_LOGIN_BYTES",
            "shared.postgres.bounded_answers.TURN_SECONDS",
            "shared.postgres.bounded_answers.PIECE_BYTES",
        ),
    ),
    LibraryReader(
        "cryptography, X.509 certificates and lists",
        (Party.DEVICE, Party.FILE, Party.OPERATOR),
        ("facade.devices.revocation_list.MAX_FILE_BYTES",),
    ),
    LibraryReader(
        "PyYAML's events, of files of connections",
        (Party.OPERATOR,),
        (
            "control_plane.declared.yaml_reading.MAX_FILE_BYTES",
            "control_plane.declared.yaml_reading.MAX_DEPTH",
            "control_plane.declared.yaml_reading.MAX_DOCUMENTS",
        ),
    ),
    LibraryReader(
        "joserfc, signed tokens and keys of an OpenID provider",
        (Party.STRANGER, Party.REGISTRY),
        (
            "control_plane.single_sign_on.presented_token.MAX_TOKEN_CHARACTERS",
            "control_plane.single_sign_on.provider_http.MAX_ANSWER_BYTES",
        ),
    ),
    LibraryReader(
        "botocore, the answers of STS and ECR",
        (Party.REGISTRY,),
        ("facade.registries.aws.aws_clients.MAX_ANSWER_BYTES",),
    ),
)
