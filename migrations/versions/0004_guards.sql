-- A published policy stands: what was in force when a payout was decided can always be shown.

create trigger append_only before update or delete or truncate on policy_versions
    for each statement execute function refuse_change();

grant select, insert, update, delete on policy_drafts, policy_requests, address_book,
    screening_lists, screening_addresses, screening_answers, screenings to bezant_service;
grant select, insert on policy_versions to bezant_service;
