-- Layers whose experiments never share a unit, counts that are told instead of facts, and how soon contacts answered.

alter table experiments
    -- The part of its layer that was reserved at the start: pairs of the first and the last ten thousandth.
    add column buckets jsonb;

-- A row is locked by whoever reserves in the layer.
create table layers (
    workspace_id text not null,
    layer text not null,
    primary key (workspace_id, layer)
);

create table reservations (
    workspace_id text not null,
    layer text not null,
    first_bucket integer not null check (first_bucket >= 0),
    last_bucket integer not null check (last_bucket between first_bucket and 9999),
    experiment_id text not null,
    primary key (workspace_id, layer, first_bucket),
    foreign key (workspace_id, layer) references layers,
    foreign key (workspace_id, experiment_id) references experiments
);

create index reservations_by_experiment on reservations (workspace_id, experiment_id);

-- What was counted by a moment; the highest number counts.
create table aggregates (
    workspace_id text not null,
    experiment_id text not null,
    sequence bigint not null check (sequence > 0),
    count_time timestamptz not null,
    counts jsonb not null,
    primary key (workspace_id, experiment_id, sequence),
    foreign key (workspace_id, experiment_id) references experiments
);

-- How soon contacts answered in an experiment: moments of the logarithm of seconds.
create table response_samples (
    workspace_id text not null,
    metric_id text not null,
    experiment_id text not null,
    answers bigint not null check (answers > 0),
    sum_of_logs double precision not null,
    sum_of_squares double precision not null,
    sample_time timestamptz not null,
    primary key (workspace_id, metric_id, experiment_id),
    foreign key (workspace_id, experiment_id) references experiments
);

create index response_samples_by_time on response_samples (workspace_id, metric_id, sample_time desc);
