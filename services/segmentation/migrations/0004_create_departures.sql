-- Contacts that are one person become one, and contacts are erased.

-- Ordinals that were a contact's and are nobody's now: merged into another contact, or erased. Ordinals have no gaps, so
-- they stay, and they are never used again.
create table departures (
    workspace_id text not null,
    ordinal integer not null,
    -- Of a merged contact: its id, which stands for another contact from now on, and the ordinal of that. It is always
    -- one that lives: whoever merges or erases that contact changes this, too. Null when it was erased.
    alias text,
    target_ordinal integer,
    -- Replicas that remember ordinals follow what commits, by transaction.
    xid xid8 not null default pg_current_xact_id(),
    primary key (workspace_id, ordinal),
    unique (workspace_id, alias),
    check ((alias is null) = (target_ordinal is null))
);

create index departures_by_target on departures (workspace_id, target_ordinal) where target_ordinal is not null;
create index departures_by_xid on departures (xid);

-- With what the erased ids of the workspace are hashed. Made by its first erasure.
alter table workspaces add column erasure_salt bytea;

create table erasures (
    workspace_id text not null,
    erasure_id uuid not null,
    ordinal integer not null,
    -- The ids by which what is left of the contact is found; none are kept when it is complete.
    contact_ids text[] not null,
    -- Of the id under which it was known last.
    contact_hash bytea not null,
    requested_by text not null,
    create_time timestamptz not null,
    complete_time timestamptz,
    -- What is erased next: see `erasure.rs`.
    stage text not null,
    -- Whoever may still write about the contact does so in a transaction before this one.
    horizon xid8,
    -- How far the facts were searched.
    fact_cursor text not null default '',
    alias_count bigint not null,
    event_count bigint not null default 0,
    fact_count bigint not null default 0,
    snapshot_count bigint not null default 0,
    answer_count bigint not null default 0,
    primary key (workspace_id, erasure_id),
    check (complete_time is null or contact_ids = '{}')
);

create index erasures_running on erasures (create_time) where complete_time is null;

-- Ids that are not to come back, hashed, so that nobody can read them here.
create table erased_ids (
    workspace_id text not null,
    id_hash bytea not null check (length(id_hash) = 32),
    erasure_id uuid not null,
    primary key (workspace_id, id_hash)
);
