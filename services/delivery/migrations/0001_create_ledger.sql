-- Who mail is sent from. Never changed, so that what was approved is what is sent.
create table senders (
    workspace_id text not null,
    sender_id text not null,
    display_name text not null,
    address text not null,
    reply_to text not null,
    create_time timestamptz not null,
    primary key (workspace_id, sender_id)
);

-- The strongest reason comes first, so that `min` finds it.
create type suppression_reason as enum ('COMPLAINT', 'UNSUBSCRIBED', 'HARD_BOUNCE', 'MANUAL');

-- Rows are only ever added. The address itself is nowhere in here: the hash is keyed.
create table suppressions (
    workspace_id text not null,
    address_hash bytea not null check (length(address_hash) = 32),
    reason suppression_reason not null,
    create_time timestamptz not null,
    primary key (workspace_id, address_hash, reason)
);

create index suppressions_by_time on suppressions (workspace_id, create_time, address_hash);

create table broadcasts (
    workspace_id text not null,
    broadcast_id text not null,
    snapshot text not null,
    sender_id text not null,
    experiment text not null,
    approval text not null,
    approval_digest bytea not null,
    campaign text not null,
    -- The launch approval allows the significant winner to be sent without asking again.
    may_release boolean not null,
    labels text[] not null check (cardinality(labels) <= 32),
    audience_count bigint not null,
    status text not null default 'open' check (status in ('open', 'paused', 'cancelled')),
    -- Which part of the planning, releasing and cancelling it belongs to.
    partition smallint not null,
    -- Where planning goes on, and when it was over.
    plan_token text not null default '',
    plan_time timestamptz,
    released_arm text not null default '',
    release_approval text not null default '',
    idle_time timestamptz,
    -- Nothing of it can change any more: background work passes it over.
    closed boolean not null default false,
    create_time timestamptz not null,
    primary key (workspace_id, broadcast_id),
    foreign key (workspace_id, sender_id) references senders
);

create index broadcasts_by_time on broadcasts (workspace_id, create_time, broadcast_id);
create index broadcasts_open on broadcasts (workspace_id, broadcast_id) where not closed;

create table variants (
    workspace_id text not null,
    broadcast_id text not null,
    arm text not null,
    position smallint not null,
    template_version text not null,
    -- The destinations, by link number: a click's is looked up here, never taken from the request.
    links text[] not null,
    primary key (workspace_id, broadcast_id, arm),
    foreign key (workspace_id, broadcast_id) references broadcasts
);

-- The ledger: a row for every contact of an audience, in exactly one state. The key is derived from workspace,
-- broadcast and contact, so that a contact cannot be in a broadcast twice, and begins alike for all rows of a
-- broadcast, so that it is also the ledger's order.
create table messages (
    workspace_id text not null,
    message_id uuid not null,
    broadcast_id text not null,
    contact_id text not null,
    partition smallint not null,
    state text not null check (state in (
        'holdout', 'held', 'queued', 'leased', 'committing',
        'accepted', 'suppressed', 'failed', 'ambiguous', 'cancelled')),
    reason text not null default '',
    arm text not null default '',
    released boolean not null default false,
    -- Forgotten as soon as the row is final.
    address text,
    -- Unset when nobody could be written to in the first place.
    address_hash bytea,
    -- Bit n stands for the broadcast's label n.
    labels bigint not null,
    attempt_count integer not null default 0,
    first_attempt_time timestamptz,
    next_attempt_time timestamptz,
    last_reply text not null default '',
    update_time timestamptz not null,
    primary key (workspace_id, message_id),
    check (state not in ('held', 'queued', 'leased', 'committing')
        or (address is not null and address_hash is not null)),
    check (state not in ('queued', 'leased', 'committing') or arm <> '')
);

-- Two contacts with one mailbox get one message.
create unique index messages_by_address on messages (workspace_id, broadcast_id, address_hash)
    where address_hash is not null;
create index messages_by_state on messages (workspace_id, broadcast_id, state, message_id);
create index messages_due on messages (workspace_id, broadcast_id, partition, next_attempt_time)
    where state = 'queued';

-- How many rows of the ledger are in each state. Kept by the trigger below and by nothing else, so that no statement
-- can move a message and forget to count it.
create table ledger_counts (
    workspace_id text not null,
    broadcast_id text not null,
    partition smallint not null,
    state text not null,
    reason text not null,
    count bigint not null,
    update_time timestamptz not null,
    primary key (workspace_id, broadcast_id, partition, state, reason)
) with (fillfactor = 50);

-- The order in which counts are touched is always the same: two transactions can wait for each other, not both.
create function count_messages() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into ledger_counts as counts
        select workspace_id, broadcast_id, partition, state, reason, count(*), max(update_time)
        from arrived
        group by 1, 2, 3, 4, 5
        order by 1, 2, 3, 4, 5
        on conflict (workspace_id, broadcast_id, partition, state, reason) do update set
            count = counts.count + excluded.count,
            update_time = greatest(counts.update_time, excluded.update_time);
    else
        insert into ledger_counts as counts
        select workspace_id, broadcast_id, partition, state, reason, sum(change), max(update_time)
        from (
            select workspace_id, broadcast_id, partition, state, reason, update_time, 1 as change
            from arrived
            union all
            select workspace_id, broadcast_id, partition, state, reason, update_time, -1 from departed
        ) as moved
        group by 1, 2, 3, 4, 5
        having sum(change) <> 0
        order by 1, 2, 3, 4, 5
        on conflict (workspace_id, broadcast_id, partition, state, reason) do update set
            count = counts.count + excluded.count,
            update_time = greatest(counts.update_time, excluded.update_time);
    end if;
    return null;
end
$$;

create trigger messages_planned after insert on messages
    referencing new table as arrived
    for each statement execute function count_messages();
create trigger messages_moved after update on messages
    referencing old table as departed new table as arrived
    for each statement execute function count_messages();

-- What recipients did, each thing once per message, link and kind of actor, so that a link fetched a million times is
-- one row and one fact.
create table engagements (
    workspace_id text not null,
    message_id uuid not null,
    kind text not null check (kind in ('opened', 'clicked', 'unsubscribed')),
    link_number smallint not null,
    actor text not null check (actor in ('human', 'machine', 'unknown')),
    create_time timestamptz not null,
    primary key (workspace_id, message_id, kind, link_number, actor)
);

create table facts (
    topic text not null,
    workspace_id text not null,
    xid xid8 not null default pg_current_xact_id(),
    sequence bigint generated always as identity,
    kind text not null,
    payload bytea not null,
    time timestamptz not null default now(),
    primary key (topic, xid, sequence, time)
) partition by range (time);

create table facts_default partition of facts default;

create table fact_floors (
    topic text primary key,
    xid xid8 not null,
    sequence bigint not null
);

create table requests (
    workspace_id text not null,
    request_id uuid not null,
    method text not null,
    body_sha256 bytea not null check (length(body_sha256) = 32),
    response bytea,
    create_time timestamptz not null default now(),
    primary key (workspace_id, request_id)
);

create index requests_by_create_time on requests (create_time);
