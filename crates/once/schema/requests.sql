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
