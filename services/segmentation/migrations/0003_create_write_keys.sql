-- Write keys, with which programs elsewhere send calls of the tracking API.

create table write_keys (
    workspace_id text not null,
    write_key_id text not null,
    display_name text not null,
    -- How the key begins. It is no secret: by it a key is found, so that only one hash has to be compared.
    prefix text not null unique,
    -- Of the whole key, which is kept nowhere.
    secret_sha256 bytea not null check (length(secret_sha256) = 32),
    create_time timestamptz not null,
    -- The row of a revoked key stays, so that what it was called is still known.
    revoke_time timestamptz,
    primary key (workspace_id, write_key_id)
);
