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
