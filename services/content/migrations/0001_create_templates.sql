-- What can be edited and published. Ids are compared byte by byte, so that pages do not depend on a locale.
create table templates (
    workspace_id text not null,
    template_id text collate "C" not null,
    display_name text not null,
    subject text not null,
    preheader text not null,
    mjml text not null,
    text text not null,
    -- Which draft this is: counts its changes, not the publishing.
    revision bigint not null default 1,
    -- The number of the newest version; 0 before the first.
    latest_version integer not null default 0,
    create_time timestamptz not null,
    update_time timestamptz not null,
    primary key (workspace_id, template_id)
);

-- What was published: what it was made from, what readers of a version ask for, and all that rendering needs.
create table versions (
    workspace_id text not null,
    template_id text collate "C" not null,
    number integer not null check (number > 0),
    subject text not null,
    preheader text not null,
    mjml text not null,
    text text not null,
    compiled_subject text not null,
    compiled_html text not null,
    compiled_text text not null,
    links text[] not null,
    fields jsonb not null,
    warnings jsonb not null,
    digest bytea not null check (length(digest) = 32),
    create_time timestamptz not null,
    primary key (workspace_id, template_id, number),
    foreign key (workspace_id, template_id) references templates
);

-- Approvals name versions by their digest and replicas keep them in memory: neither survives a change.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'a published version never changes';
end
$$;

create trigger versions_never_change before update on versions
for each row execute function refuse_change();

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
