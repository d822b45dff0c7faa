-- What was done to experiments and by whom, ending one without a decision, who did what contacts did, recipients behind
-- privacy proxies, and tests without a deadline.

alter table experiments
    drop constraint experiments_state_check,
    add constraint experiments_state_check
        check (state in ('DRAFT', 'RUNNING', 'MATURING', 'DECIDABLE', 'DECIDED', 'STOPPED')),
    add column stop jsonb,
    add constraint experiments_stop_check check ((stop is not null) = (state = 'STOPPED')),
    -- How many units and which rate are expected.
    add column expectation jsonb,
    -- Looks are taken while units are exposed.
    add column is_open_ended boolean not null default false;

create index experiments_open_ended on experiments (partition) where is_open_ended and state = 'RUNNING';

create table audit (
    workspace_id text not null,
    experiment_id text not null,
    number bigint not null check (number > 0),
    kind text not null,
    -- Who did it; `monitor` for looks.
    actor text not null,
    entry_time timestamptz not null,
    detail jsonb not null,
    primary key (workspace_id, experiment_id, number),
    foreign key (workspace_id, experiment_id) references experiments
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'entries of % are never changed', tg_table_name;
end
$$;

create trigger audit_is_append_only before update or delete on audit
    for each row execute function refuse_change();

create trigger looks_are_append_only before update or delete on looks
    for each row execute function refuse_change();

-- Null where only `human` was told.
alter table evidence add column actor text check (actor in ('HUMAN', 'MACHINE', 'SUSPECT', 'UNKNOWN'));

-- The latest word on who did what was told, kept beside it: it may come first, and what was told stays as it was.
create table words (
    workspace_id text not null,
    source text not null,
    outcome_id text not null,
    actor text not null check (actor in ('HUMAN', 'MACHINE', 'SUSPECT', 'UNKNOWN')),
    classify_time timestamptz not null,
    primary key (workspace_id, source, outcome_id)
);

alter table exposures add column privacy_proxy boolean not null default false;
