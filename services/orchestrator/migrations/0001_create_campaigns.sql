-- Campaigns, the approvals they need, and the record of who did what.

create table campaigns (
    workspace_id text not null,
    campaign_id text not null,
    -- What the approver judges: audience, variants, experiment, schedule.
    plan jsonb not null,
    state text not null check (state in (
        'DRAFT', 'PENDING_APPROVAL', 'APPROVED', 'SCHEDULED', 'TESTING', 'AWAITING_DECISION', 'PROMOTING',
        'SENDING', 'MEASURING', 'COMPLETE', 'PAUSED', 'CANCELLED', 'FAILED'
    )),
    state_reason text not null default '',
    -- Where a paused campaign goes on.
    paused_state text check ((paused_state is not null) = (state = 'PAUSED')),
    launch_approval text,
    promotion_approval text,
    -- The arm whose promotion was decided.
    decided_arm text,
    snapshot text,
    broadcast text,
    create_time timestamptz not null,
    update_time timestamptz not null,
    launch_time timestamptz,
    measurement_end_time timestamptz,
    revision bigint not null default 1,
    -- Which partition of the background work it belongs to.
    partition smallint not null,
    primary key (workspace_id, campaign_id),
    -- Nothing is launched without an approval.
    check (launch_time is null or launch_approval is not null)
);

create index campaigns_by_create_time on campaigns (workspace_id, create_time desc, campaign_id);

create index campaigns_at_work on campaigns (partition)
where state not in ('DRAFT', 'COMPLETE', 'FAILED');

create table approvals (
    workspace_id text not null,
    approval_id text not null,
    campaign_id text not null,
    action text not null check (action in ('LAUNCH', 'PROMOTE')),
    arm text not null default '',
    digest bytea not null check (length(digest) = 32),
    -- What was shown: an encoded `cursus.orchestrator.v1.ApprovalSummary`.
    summary bytea not null,
    state text not null check (state in ('PENDING', 'APPROVED', 'REJECTED', 'VOID', 'EXPIRED')),
    state_reason text not null default '',
    proposer text not null,
    proposal_reason text not null,
    decider text not null default '',
    create_time timestamptz not null,
    decide_time timestamptz,
    expire_time timestamptz not null,
    primary key (workspace_id, approval_id),
    foreign key (workspace_id, campaign_id) references campaigns,
    -- Who asks cannot allow.
    check (state <> 'APPROVED' or (decider <> '' and decider <> proposer))
);

create index approvals_by_create_time on approvals (workspace_id, create_time desc, approval_id);

-- One question at a time.
create unique index approvals_open on approvals (workspace_id, campaign_id, action) where state = 'PENDING';

-- Never updated or deleted; each entry holds the hash of the one before.
create table audit_entries (
    workspace_id text not null,
    sequence bigint not null,
    entry_time timestamptz not null,
    subject text not null,
    action text not null,
    resource text not null,
    detail text not null,
    hash bytea not null check (length(hash) = 32),
    primary key (workspace_id, sequence)
);

-- The end of each workspace's chain.
create table audit_heads (
    workspace_id text primary key,
    sequence bigint not null,
    hash bytea not null
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
