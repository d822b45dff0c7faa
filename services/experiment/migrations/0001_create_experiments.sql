-- Experiments, who belongs where, who was exposed, what they did, and the looks taken at it.

create table experiments (
    workspace_id text not null,
    experiment_id text not null,
    display_name text not null,
    design jsonb not null,
    state text not null check (state in ('DRAFT', 'RUNNING', 'MATURING', 'DECIDABLE', 'DECIDED')),
    imported_count bigint not null default 0,
    -- Over the imported assignments; null while an import goes on or broke off.
    assignments_digest bytea check (length(assignments_digest) = 32),
    create_time timestamptz not null,
    start_time timestamptz,
    exposure_end_time timestamptz,
    deadline timestamptz,
    decision jsonb check ((decision is not null) = (state = 'DECIDED')),
    -- Which partition of the background work it belongs to.
    partition smallint not null,
    primary key (workspace_id, experiment_id)
);

create index experiments_by_create_time on experiments (workspace_id, create_time desc, experiment_id);

create index experiments_at_work on experiments (partition) where state = 'MATURING';

-- Arms set outright, in place of the hash.
create table assignments (
    workspace_id text not null,
    experiment_id text not null,
    contact_id text not null,
    -- The arm's place in the design, -1 for the holdout, -2 for the remainder.
    place smallint not null check (place >= -2),
    primary key (workspace_id, experiment_id, contact_id),
    foreign key (workspace_id, experiment_id) references experiments
);

create table exposures (
    workspace_id text not null,
    experiment_id text not null,
    contact_id text not null,
    -- Null for the holdout.
    arm smallint check (arm >= 0),
    segments text[] not null,
    exposure_time timestamptz not null,
    released boolean not null,
    primary key (workspace_id, experiment_id, contact_id)
);

-- What contacts did, as it was told. Whether it counts is asked when it is read, because an exposure may be told later
-- than what it caused.
create table evidence (
    workspace_id text not null,
    -- Who told it: `delivery`, `segmentation`, or `experiments/{experiment}` for a caller.
    source text not null,
    outcome_id text not null,
    contact_id text not null,
    event text not null,
    -- The only experiment it counts for; empty if it counts for all.
    experiment_id text not null,
    outcome_time timestamptz not null,
    human boolean not null,
    -- Millionths, by property.
    micros jsonb not null,
    primary key (workspace_id, source, outcome_id)
);

create index evidence_by_event on evidence (workspace_id, event, experiment_id, contact_id);

-- What experiments count: other events are not kept.
create table watched (
    workspace_id text not null,
    event text not null,
    -- Empty when only the event itself counts.
    property text not null,
    primary key (workspace_id, event, property)
);

-- Never updated or deleted.
create table looks (
    workspace_id text not null,
    experiment_id text not null,
    number integer not null check (number > 0),
    look_time timestamptz not null,
    spending_time double precision not null check (spending_time between 0 and 1),
    information double precision not null,
    boundary double precision,
    -- By arm: what was counted.
    counts jsonb not null,
    -- The leader's statistic against every arm.
    statistics jsonb not null,
    verdict jsonb not null,
    primary key (workspace_id, experiment_id, number),
    foreign key (workspace_id, experiment_id) references experiments
);

create table cursors (
    feed text primary key,
    cursor text not null,
    update_time timestamptz not null default now()
);

-- How well a feed is followed, by the database's clock, which goes on when nobody tells anything.
create table followings (
    feed text primary key,
    is_connected boolean not null,
    -- When a run of facts last came, or the connection was made.
    heard_time timestamptz not null,
    -- When the latest fact happened that was told.
    latest_time timestamptz
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
