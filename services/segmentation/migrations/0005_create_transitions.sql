-- Who entered and left segments, when and why.

-- One contact, or many who entered and left together. Written in the transaction that changes the containers, so
-- those of one contact and segment alternate.
create table transitions (
    -- Grows in the order of what happened in one block.
    sequence bigint generated always as identity,
    workspace_id text not null,
    segment_id text not null,
    revision bigint not null,
    block integer not null,
    -- Null when many crossed together: then they are in the last two columns.
    slot integer check (slot between 0 and 65535),
    entered boolean,
    cause text not null check (cause in (
        'event', 'attribute', 'time', 'rule_changed', 'contact_created', 'contact_merged', 'contact_erased')),
    time timestamptz not null,
    record_time timestamptz not null,
    -- Slots, packed: see `block.rs`.
    entered_slots bytea,
    left_slots bytea,
    check ((slot is null) = (entered is null)),
    check ((slot is null) = (entered_slots is not null and left_slots is not null))
) partition by range (record_time);

create index transitions_by_segment on transitions (workspace_id, segment_id, sequence);
create index transitions_by_contact on transitions (workspace_id, block, slot, sequence);

create table transitions_default partition of transitions default;

-- Makes a month's partition, as `create_events_partition` does for events.
create function create_transitions_partition(month date) returns boolean language plpgsql as $$
declare
    name text := to_char(month, '"transitions_"YYYYMM');
    lower timestamptz := month::timestamp at time zone 'UTC';
    upper timestamptz := (month + interval '1 month') at time zone 'UTC';
begin
    perform pg_advisory_xact_lock(hashtext('transitions'), hashtext('create partition'));
    if to_regclass(name) is not null
        or exists (select from transitions_default where record_time >= lower and record_time < upper)
    then
        return false;
    end if;
    execute format('create table %I partition of transitions for values from (%L) to (%L)', name, lower, upper);
    return true;
end $$;

-- Drops the partitions that hold nothing of a moment or later, and deletes what is older in the default one.
create function drop_transitions_before(moment timestamptz) returns void language plpgsql as $$
declare
    name text;
begin
    set local lock_timeout = '2s';
    for name in
        select relname from pg_inherits join pg_class on oid = inhrelid
        where inhparent = 'transitions'::regclass
            and relname ~ '^transitions_[0-9]{6}$'
            and (to_date(right(relname, 6), 'YYYYMM') + interval '1 month') at time zone 'UTC' <= moment
    loop
        begin
            execute format('drop table if exists %I', name);
        exception when lock_not_available then
            -- Rather than queue behind a long reader, and have everybody else queue behind this: the next time will do.
            return;
        end;
    end loop;
    delete from transitions_default where record_time < moment;
end $$;

-- Whether the members are those of the segment, so that a change of them is a transition. Set, in one transaction for
-- all blocks, when a revision takes the place of the one before.
alter table containers add column served boolean not null default false;

update containers set served = true
from segments
where segments.workspace_id = containers.workspace_id
    and segments.segment_id = containers.segment_id
    and segments.ready_revision = containers.revision
    and segments.delete_time is null;

alter table block_changes
    -- The order in which they are taken.
    add column id bigint generated always as identity,
    -- What happened: a cause of transitions. Null where a version from before this column wrote it.
    add column cause text,
    -- When it was written, by the database's clock; so that it is known how long it waited.
    add column time timestamptz not null default clock_timestamp();

create index block_changes_by_id on block_changes (partition, id);
drop index block_changes_by_block;
