"""Which test makes which attack: every rule of the security design, and every attack that its end names.

A rule whose test is renamed or deleted fails here; so the table can be read as what it says.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
SUITE = """
Sign-in by code
  5 guesses a challenge: auth/test_completing_sign_in
    test_the_right_code_is_refused_after_5_wrong_ones_and_the_exhaustion_is_audited
  10 wrong guesses a phone and hour: auth/test_completing_sign_in
    test_a_phone_bears_10_wrong_guesses_an_hour_over_all_its_challenges
    test_parallel_guesses_over_several_challenges_do_not_slip_past_10
  5 minutes of life: auth/test_completing_sign_in
    test_a_code_dies_after_5_minutes
  the same code on resend: auth/test_sending_codes
    test_a_resent_code_is_the_same_code_and_lives_no_longer
  stored nowhere: auth/test_sending_codes
    test_the_database_holds_no_code
  of 8 parallel right answers one wins: auth/test_completing_sign_in
    test_of_8_parallel_right_answers_exactly_one_wins_as_kratos_tests
    test_of_8_parallel_right_answers_on_two_servers_exactly_one_wins
  of 50 parallel wrong answers at most 5 are judged: auth/test_completing_sign_in
    test_of_50_parallel_wrong_answers_at_most_5_are_judged_as_supabase_auth_2819_did_not
  the same on two servers: e2e/test_two_servers
    test_of_50_parallel_wrong_guesses_over_both_servers_5_are_judged
  resend after 60 seconds: auth/test_sending_codes
    test_a_code_is_not_resent_within_60_seconds
    test_of_ten_starts_at_once_for_one_phone_one_sends
  5 sends a phone and day: auth/test_sending_codes
    test_a_phone_gets_at_most_5_codes_a_day_as_supabase_auth_605_asked
  300 sends an address and hour, 30 when doubtful: auth/test_sending_codes
    test_an_address_gets_at_most_300_sends_an_hour_however_well_it_behaves
    test_bots_that_verify_no_code_get_30_sends_an_hour_as_nhost_3062_learned
    test_starts_at_once_do_not_slip_past_the_limit_of_their_address
  a budget and a breaker per country prefix: auth/test_send_breaker
    test_two_servers_send_exactly_the_budget_however_many_ask_at_once
    test_codes_that_do_not_come_back_open_the_breaker_as_nhost_3062_needed
  the address of the caller: rpc/test_steps
    test_an_address_is_the_peer_or_the_last_hop_that_no_proxy_of_ours_is
    test_no_forged_header_or_peer_breaks_the_address
  the same answer for known and unknown numbers: auth/test_same_answer
    test_the_answer_is_the_same_field_by_field_as_supabase_js_784_was_not
  a recycled number proves its birth date: auth/test_recycled_numbers
    test_a_code_alone_opens_no_account_that_was_silent_for_180_days
    test_of_20_parallel_wrong_birth_dates_three_are_judged
  limits hold across servers and restarts: auth/test_sending_codes
    test_limits_hold_across_servers_and_restarts
  a refusal leaves its trace, read by another connection: auth/test_refusals_leave_traces
    test_a_refusal_is_written_though_it_is_raised
Tokens
  alg none: auth/test_access_tokens
    test_alg_none_is_refused
  HS256 with the public key: auth/test_access_tokens
    test_hs256_with_the_public_key_as_its_secret_is_refused
  wrong aud, iss, typ: auth/test_access_tokens
    test_a_wrong_claim_is_refused_though_the_signature_is_right
    test_another_type_is_refused
  a foreign kid: auth/test_access_tokens
    test_a_foreign_key_is_refused_under_its_own_kid_and_under_ours
  jku, x5u, an embedded key: auth/test_access_tokens
    test_a_key_that_the_token_brings_along_is_not_looked_at
  expired: auth/test_access_tokens
    test_a_token_dies_with_its_exp_after_30_seconds_of_leeway_also_when_it_was_verified_before
  replayed assertions: auth/test_private_key_jwt
    test_a_replayed_assertion_is_refused_and_the_replay_is_audited
    test_of_10_parallel_uses_of_an_assertion_at_two_servers_exactly_one_gets_a_token
  10 parallel refreshes give one refresh token: auth/test_refreshing_tokens
    test_ten_racing_tasks_get_one_refresh_token_as_supabase_flutter_459_and_1158_did_not
    test_ten_racing_tasks_on_two_servers_get_one_refresh_token
  a lost answer, then a retry: auth/test_refreshing_tokens
    test_a_lost_answer_then_a_retry_keeps_her_signed_in_as_zitadel_9631_did_not
  an old token ends the session: auth/test_refreshing_tokens
    test_the_previous_token_with_another_request_after_60_seconds_ends_the_session
    test_an_older_token_ends_the_session_also_within_60_seconds
    test_a_compromised_session_is_dead_for_the_thief_too
    test_a_compromised_session_leaves_a_revocation_an_audit_row_and_a_warning_though_the_call_fails
  dead everywhere within a second: auth/test_verifying_tokens
    test_a_revocation_reaches_another_server_in_under_a_second
  dead everywhere within a second, over the network: e2e/test_two_servers
    test_a_session_ended_at_one_server_is_refused_by_the_other_within_a_second
  a lost listener: auth/test_verifying_tokens
    test_a_lost_listener_comes_back_and_has_missed_nothing
    test_a_server_out_of_touch_that_cannot_ask_postgres_is_unavailable
  any order of refreshes: auth/test_any_order_of_refreshes
    test_any_order_of_tokens_request_ids_and_waits_ends_as_the_table_says
  no refresh token in the database: auth/test_refreshing_tokens
    test_the_database_holds_no_refresh_token
  private keys encrypted at rest: auth/test_signing_keys
    test_a_private_key_is_encrypted_at_rest
  keys rotate without a failed call: e2e/test_two_servers
    test_keys_are_rotated_under_200_calls_a_second_without_one_failed_call
    test_a_key_rejected_before_its_tokens_are_renewed_fails_calls_so_the_load_would_have_shown_it
  a leaked signing key: auth/test_key_rotation
    test_a_leaked_key_is_replaced_at_once_and_its_tokens_are_refused_the_remembered_ones_too
    test_a_server_hears_of_a_rejected_key_within_a_second
    test_the_private_half_of_a_retired_key_is_forgotten
  a lost listener, over the network: e2e/test_two_servers
    test_a_server_whose_listener_was_killed_hears_of_what_it_missed_within_a_second
    test_a_server_that_cannot_listen_asks_postgres_at_each_call_after_two_seconds_and_recovers
Services
  forged assertions: auth/test_private_key_jwt
    test_alg_none_is_refused
    test_hs256_with_the_public_key_as_its_secret_is_refused
    test_an_assertion_signed_with_a_foreign_key_under_the_accounts_kid_is_refused
    test_an_assertion_under_a_foreign_kid_is_refused
    test_the_key_of_another_account_proves_nothing
    test_a_signing_key_of_the_server_proves_nothing
    test_keys_that_the_header_brings_along_are_ignored
  assertions for others, of others, of another kind: auth/test_private_key_jwt
    test_an_assertion_for_another_audience_or_for_several_is_refused
    test_an_assertion_of_another_issuer_is_refused
    test_an_assertion_about_another_subject_is_refused
    test_an_assertion_of_another_typ_is_refused
    test_an_access_token_is_no_assertion
  assertions of another time, or without a jti: auth/test_private_key_jwt
    test_an_expired_assertion_is_refused_beyond_the_leeway
    test_an_assertion_that_lives_longer_than_5_minutes_is_refused
    test_an_assertion_from_the_future_is_refused
    test_an_assertion_without_a_fitting_jti_is_refused
  scopes, keys and the account itself taken away: auth/test_service_accounts
    test_other_scopes_end_its_tokens_everywhere_and_the_next_ones_have_them
    test_a_removed_key_ends_all_its_tokens_everywhere
    test_a_disabled_account_gets_no_token_and_those_it_has_are_dead_everywhere
    test_a_token_issued_while_the_account_changes_is_dead_or_has_the_new_scopes
  a token that was shown to a service: auth/test_introspection
    test_forged_and_foreign_tokens_are_not_active
    test_a_token_of_a_session_that_ended_is_not_active
    test_a_token_that_was_looked_at_stands_in_no_log_metric_or_audit_event
  admins against admins: auth/test_user_sessions
    test_an_admins_sessions_are_ended_by_a_superadmin_only_and_the_refusal_leaves_its_trace
The edge
  every method by every kind of caller: attacks/test_access_matrix
    test_every_kind_of_caller_comes_into_exactly_the_methods_of_its_rows
    test_the_rules_in_the_protos_say_what_the_rows_say
    test_every_registered_method_has_a_row_and_every_row_a_method
  another member's ids in every method: attacks/test_others_things
    test_every_field_that_names_something_is_tried_or_open_for_a_reason
    test_a_thing_of_others_is_refused_by_every_method_like_one_that_does_not_exist
    test_a_business_of_others_is_refused_by_every_method_like_one_that_does_not_exist
  SQL and header text in every string: attacks/test_hostile_texts
    test_no_text_in_any_string_of_any_request_breaks_or_comes_back
    test_no_text_in_any_header_breaks_or_comes_back
  random bytes and mutated messages: attacks/test_fuzz
    test_no_message_makes_any_method_fail_unforeseen_or_unnamed_hang_or_repeat_what_it_was_sent
  slow readers: rpc/test_slow_readers
    test_a_stream_that_nobody_reads_stops_being_made
    test_a_reader_that_sleeps_is_sent_away_with_its_deadline
    test_a_stop_does_not_wait_for_readers_that_sleep
  endless streams: attacks/test_giants
    test_an_upload_that_says_nothing_ends_with_its_deadline_and_gives_its_place_back
    test_an_upload_without_end_ends_with_its_deadline_and_gives_its_place_back
  giant messages, bombs and crowds: attacks/test_giants
    test_a_message_over_the_limit_is_refused_by_every_service
    test_a_small_message_that_unpacks_to_a_giant_is_refused
    test_a_message_full_of_empty_rows_is_refused_at_once_by_every_method
    test_a_giant_header_is_refused_and_the_server_goes_on
  log capture: attacks/test_nothing_personal_is_told
    test_neither_log_nor_console_nor_metrics_tell_anything_personal
    test_a_planted_line_is_found
  a bound on concurrent calls: rpc/test_interceptor
    test_too_many_calls_of_the_process_are_shed_with_a_time_to_wait
    test_one_caller_cannot_take_every_place
  TLS, reloaded; client certificates: rpc/test_server
    test_tls_is_served_and_a_renewed_certificate_is_taken_without_a_restart
    test_client_certificates_can_be_required
  plaintext off loopback: rpc/test_server
    test_plaintext_off_loopback_needs_a_setting_and_warns
  an unexpected failure tells nothing: rpc/test_interceptor
    test_an_unexpected_failure_says_internal_a_request_id_and_nothing_else
  rights that end with an archived business: businesses/test_archiving
    test_a_token_that_still_names_the_role_opens_nothing_of_an_archived_business
  a sign-in while rights change: businesses/test_staff
    test_a_change_of_rights_waits_for_a_sign_in_under_way_so_that_its_token_ends_too
Audit and personal data
  audit events are append-only: storage/test_audit
    test_the_database_refuses_to_change_an_event
  the warehouse holds no personal data: users/personal_data/test_declarations
    test_the_warehouse_knows_nobody_but_by_a_number
  the export is everything, and nobody else's: users/personal_data/test_exporting
    test_every_table_is_shown_with_all_that_is_hers
    test_nothing_about_anybody_else_is_shown
  erasure leaves nothing that leads to her: users/personal_data/test_erasing
    test_nothing_in_either_store_leads_to_her_any_more
    test_both_stores_go_on_holding_the_same_purchases
  erasure is retried until done: crash/test_erasure_killed
    test_an_erasure_killed_at_each_step_leaves_her_whole_until_it_is_done
  who may give which role: users/administration/test_accounts
    test_an_admins_account_is_changed_by_a_superadmin_only_and_the_attempt_leaves_its_trace
    test_the_last_superadmin_keeps_her_role
"""


def named_tests() -> Iterator[tuple[str, str]]:
    """Yields the file and the name of every test in the table."""
    file = ""
    for line in SUITE.splitlines():
        if line.startswith("    "):
            yield file, line.strip()
        elif line.startswith("  "):
            file = line.rpartition(": ")[2]


@pytest.mark.parametrize(("file", "name"), list(named_tests()))
def test_the_test_of_an_attack_is_there(file: str, name: str) -> None:
    tree = ast.parse((TESTS / f"{file}.py").read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_rule_has_a_test() -> None:
    lines = SUITE.split("\n")
    rules = [place for place, line in enumerate(lines) if line.startswith("  ") and not line.startswith("    ")]
    assert all(lines[place + 1].startswith("    test_") for place in rules)
