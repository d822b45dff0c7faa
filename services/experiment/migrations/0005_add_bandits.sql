-- Bandits: how new units are divided from when on, and which arm each unit got by which allocation.

create table allocations (
    workspace_id text not null,
    experiment_id text not null,
    number integer not null check (number > 0),
    start_time timestamptz not null,
    -- In the order of the design; together 1.
    shares double precision[] not null,
    primary key (workspace_id, experiment_id, number),
    foreign key (workspace_id, experiment_id) references experiments
);

create trigger allocations_are_append_only before update or delete on allocations
    for each row execute function refuse_change();

-- Never changed: the next answer for the same unit might be another arm.
create table allotments (
    workspace_id text not null,
    experiment_id text not null,
    contact_id text not null,
    allocation integer not null check (allocation > 0),
    arm smallint not null check (arm >= 0),
    primary key (workspace_id, experiment_id, contact_id)
);

create trigger allotments_are_never_changed before update on allotments
    for each row execute function refuse_change();
