-- Accounts (companies) and deals, and the contacts they concern.

-- What an attribute is about. Ids say it too, `account.industry` and `deal.product`: so the versions that know only
-- contacts go on working, and an attribute has one name whatever it is about. Numbers are shared by all.
alter table attributes
    add column entity text not null default 'contact' check (entity in ('contact', 'account', 'deal')),
    add constraint attributes_entity_in_id check (
        case entity
            when 'contact' then attribute_id not like '%.%'
            else starts_with(attribute_id, entity || '.')
        end
    );

create table accounts (
    workspace_id text not null,
    account_id text not null,
    display_name text not null,
    parent_id text,
    -- Values by the attributes' numbers, packed.
    attributes bytea not null,
    create_time timestamptz not null,
    update_time timestamptz not null,
    primary key (workspace_id, account_id),
    foreign key (workspace_id, parent_id) references accounts
) with (fillfactor = 90);

create index accounts_by_parent on accounts (workspace_id, parent_id) where parent_id is not null;

alter table contacts
    add column account_id text,
    add foreign key (workspace_id, account_id) references accounts;

-- The contacts of an account, block by block.
create index contacts_by_account on contacts (workspace_id, account_id, ordinal) where account_id is not null;

create table deals (
    workspace_id text not null,
    deal_id text not null,
    account_id text,
    stage text not null check (stage <> ''),
    amount double precision,
    currency_code text check (currency_code ~ '^[A-Z]{3}$'),
    -- What the caller says: when it began, and when it was closed or is to be.
    create_time timestamptz not null,
    close_time timestamptz,
    -- Values by the attributes' numbers, packed.
    properties bytea not null,
    update_time timestamptz not null,
    primary key (workspace_id, deal_id),
    foreign key (workspace_id, account_id) references accounts,
    check (amount is null or currency_code is not null)
) with (fillfactor = 90);

create index deals_by_account on deals (workspace_id, account_id) where account_id is not null;

-- The contacts that a deal names.
create table deal_contacts (
    workspace_id text not null,
    deal_id text not null,
    ordinal integer not null,
    primary key (workspace_id, deal_id, ordinal),
    foreign key (workspace_id, deal_id) references deals on delete cascade
);

-- The order in which a block reads them.
create index deal_contacts_by_contact on deal_contacts (workspace_id, ordinal);
