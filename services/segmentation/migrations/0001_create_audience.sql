-- Contacts, events, segments and their membership. `workspace_id` leads every key and index, except where a
-- worker looks for the work of its partition, whichever workspace it is in.

create table workspaces (
    workspace_id text primary key,
    -- Contacts written so far, and so the ordinal of the next one: ordinals have no gaps. Whoever adds contacts or
    -- changes what segments there are locks the row, so that neither overlooks the other.
    contact_count integer not null default 0 check (contact_count >= 0)
);

create table attributes (
    workspace_id text not null,
    attribute_id text not null,
    -- What `contacts.attributes` calls it.
    number smallint not null check (number > 0),
    kind text not null check (kind in ('text', 'number', 'flag', 'time', 'text_set')),
    description text not null,
    create_time timestamptz not null,
    primary key (workspace_id, attribute_id),
    unique (workspace_id, number)
);

create table contacts (
    workspace_id text not null,
    -- Block `ordinal >> 16`, slot `ordinal & 65535`.
    ordinal integer not null check (ordinal >= 0),
    contact_id text not null,
    email text not null,
    -- Values by the attributes' numbers, packed: see `packed.rs`. A third of the same as jsonb, and read as a column
    -- at the speed of a copy.
    attributes bytea not null,
    create_time timestamptz not null,
    update_time timestamptz not null,
    primary key (workspace_id, ordinal),
    unique (workspace_id, contact_id)
) with (fillfactor = 90);

-- Which events are known. A partitioned table can only be unique together with its partition key, and the same event
-- told again with another time must still be the same event: so the ids have a table of their own.
create table event_ids (
    workspace_id text not null,
    -- Callers and the delivery service number their events independently of each other.
    source text not null check (source in ('caller', 'delivery')),
    event_id text not null,
    primary key (workspace_id, source, event_id)
);

create table events (
    workspace_id text not null,
    event_name text not null,
    ordinal integer not null,
    event_time timestamptz not null,
    event_id text not null,
    -- Values by the properties' names, packed.
    properties bytea not null,
    record_time timestamptz not null
) partition by range (event_time);

-- The order in which a block reads them: one name, a range of contacts.
create index events_by_contact on events (workspace_id, event_name, ordinal, event_time);

-- For months without a partition of their own: the distant past, and mistakes.
create table events_default partition of events default;

-- Makes a month's partition. Says whether it was made: a month that has events in the default partition already
-- keeps them there, for Postgres would have to move them under a lock.
create function create_events_partition(month date) returns boolean language plpgsql as $$
declare
    name text := to_char(month, '"events_"YYYYMM');
    lower timestamptz := month::timestamp at time zone 'UTC';
    upper timestamptz := (month + interval '1 month') at time zone 'UTC';
begin
    -- Two replicas at once would only wait for each other's locks.
    perform pg_advisory_xact_lock(hashtext('events'), hashtext('create partition'));
    if to_regclass(name) is not null
        or exists (select from events_default where event_time >= lower and event_time < upper)
    then
        return false;
    end if;
    execute format('create table %I partition of events for values from (%L) to (%L)', name, lower, upper);
    return true;
end $$;

-- What was written and not evaluated yet: appended by whoever writes, deleted by the evaluation that takes it in.
-- Nobody waits for anybody else's row.
create table block_changes (
    partition smallint not null,
    workspace_id text not null,
    block integer not null,
    -- The slots that changed, two bytes each, lowest first; null means any.
    slots bytea,
    -- The attributes and events that changed; null means all, as for a new contact.
    names text[]
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

create index block_changes_by_block on block_changes (partition, workspace_id, block);

create table blocks (
    workspace_id text not null,
    block integer not null,
    partition smallint not null,
    -- The first moment at which time alone may change a membership in the block.
    next_change_time timestamptz,
    primary key (workspace_id, block)
);

create index blocks_by_next_change on blocks (partition, next_change_time) where next_change_time is not null;

create table segments (
    workspace_id text not null,
    segment_id text not null,
    display_name text not null,
    -- The revision of the rule in force.
    revision bigint not null check (revision > 0),
    -- The revision whose containers are read: the one in force, or the one before while that is computed.
    ready_revision bigint,
    ready_time timestamptz,
    create_time timestamptz not null,
    update_time timestamptz not null,
    -- The row of a deleted segment stays, so that its id, used again, goes on with the next revision: a revision means
    -- one rule for ever, for approvals and snapshots name it.
    delete_time timestamptz,
    -- Counts the writes, for the etag.
    writes bigint not null,
    primary key (workspace_id, segment_id)
);

create index segments_computing on segments (workspace_id)
    where ready_revision is distinct from revision and delete_time is null;

create table segment_revisions (
    workspace_id text not null,
    segment_id text not null,
    revision bigint not null,
    -- An encoded `cursus.segmentation.v1.Rule`.
    rule bytea not null,
    create_time timestamptz not null,
    primary key (workspace_id, segment_id, revision),
    foreign key (workspace_id, segment_id) references segments
);

create sequence container_versions;

-- Who of a block is in a segment. Written only by the owner of the block's partition.
create table containers (
    workspace_id text not null,
    segment_id text not null,
    revision bigint not null,
    block integer not null,
    -- Grows with every change of the members.
    version bigint not null default nextval('container_versions'),
    -- A hash of the members. Together with the version it names their copy in Redis, so that even after a restore of
    -- this database, when versions come again, a name never stands for other members.
    digest bigint not null,
    member_count integer not null,
    -- The slots, as a roaring bitmap.
    members bytea not null,
    next_change_time timestamptz,
    primary key (workspace_id, segment_id, revision, block)
);

create index containers_by_block on containers (workspace_id, block);

-- Compressed already.
alter table containers alter column members set storage external;

create table snapshots (
    workspace_id text not null,
    snapshot_id text not null,
    include text[] not null,
    exclude text[] not null,
    labels text[] not null,
    member_count bigint not null,
    label_counts bigint[] not null,
    revisions bigint[] not null,
    create_time timestamptz not null,
    expire_time timestamptz not null,
    primary key (workspace_id, snapshot_id)
);

create index snapshots_by_expire_time on snapshots (expire_time);

-- Blocks without members have no row.
create table snapshot_blocks (
    workspace_id text not null,
    snapshot_id text not null,
    block integer not null,
    -- The slots, as a roaring bitmap.
    members bytea not null,
    -- The members that carry each label, in the order of the labels.
    labels bytea[] not null,
    primary key (workspace_id, snapshot_id, block),
    foreign key (workspace_id, snapshot_id) references snapshots on delete cascade
);

alter table snapshot_blocks alter column members set storage external;
alter table snapshot_blocks alter column labels set storage external;

-- As `cursus-feed` prescribes.
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

create table cursors (
    feed text primary key,
    cursor text not null,
    update_time timestamptz not null default now()
);

-- As `cursus-once` prescribes.
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
