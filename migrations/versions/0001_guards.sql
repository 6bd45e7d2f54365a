-- What the database itself refuses (MONEY 1): an unbalanced entry, a change, a deletion.

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, tg_op
        using errcode = 'restrict_violation';
end $$;

create trigger append_only before update or delete or truncate on journal_entries
    for each statement execute function refuse_change();
create trigger append_only before update or delete or truncate on postings
    for each statement execute function refuse_change();
create trigger append_only before update or delete or truncate on entry_chain
    for each statement execute function refuse_change();
create trigger append_only before update or delete or truncate on events
    for each statement execute function refuse_change();
create trigger append_only before update or delete or truncate on event_seq
    for each statement execute function refuse_change();

-- An entry and all its postings are written by one statement. This runs at that statement's end,
-- so it sees them together: every entry has postings, they sum to zero per asset, and nobody adds
-- to an entry later.
create function check_postings() returns trigger language plpgsql as $$
begin
    if exists (select from written group by entry_id, asset having sum(amount) <> 0) then
        raise exception 'the postings of an entry do not sum to zero per asset'
            using errcode = 'check_violation';
    end if;
    if exists (
        select from written w join postings p on p.entry_id = w.entry_id
        where not exists (select from written o where o.entry_id = p.entry_id and o.n = p.n)
    ) then
        raise exception 'an entry that stands takes no further postings'
            using errcode = 'restrict_violation';
    end if;
    return null;
end $$;

create trigger balanced after insert on postings referencing new table as written
    for each statement execute function check_postings();

create function check_entries() returns trigger language plpgsql as $$
begin
    if exists (
        select from written w
        where not exists (select from postings p where p.entry_id = w.id)
    ) then
        raise exception 'an entry without postings' using errcode = 'check_violation';
    end if;
    insert into entry_pending (entry_id) select id from written;
    notify entry_pending;
    return null;
end $$;

create trigger has_postings after insert on journal_entries referencing new table as written
    for each statement execute function check_entries();

create function queue_events() returns trigger language plpgsql as $$
begin
    insert into event_pending (event_id) select id from written;
    -- Transactions that notify commit one by one. Who makes invoices, the most frequent event and
    -- the least urgent, therefore wakes the sequencer after the commit, once for many.
    if exists (select from written where type <> 'invoice.created') then
        notify event_pending;
    end if;
    return null;
end $$;

create trigger queue_for_the_sequencer after insert on events referencing new table as written
    for each statement execute function queue_events();

alter table account_balances set (fillfactor = 50);
alter table deliveries set (fillfactor = 70);
alter table network_cursors set (fillfactor = 20);
alter table address_holdings set (fillfactor = 80);

insert into clock (id, offset_seconds) values (1, 0);

-- The services' role reads all, writes what may change, and only adds to what may not.
grant usage on schema public to bezant_service;
grant select, insert, update, delete on all tables in schema public to bezant_service;
grant usage on all sequences in schema public to bezant_service;
revoke update, delete on journal_entries, postings, entry_chain, events, event_seq
    from bezant_service;
revoke insert, update, delete on alembic_version from bezant_service;
