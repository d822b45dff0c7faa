create table cursors (
    feed text primary key,
    cursor text not null,
    update_time timestamptz not null default now()
);
