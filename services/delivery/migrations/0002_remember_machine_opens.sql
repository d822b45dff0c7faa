-- When a machine last opened a message to a contact: one row each, however many messages there are, so that a page of the
-- plan or a batch of messages asks for all its contacts at once.
create table machine_opens (
    workspace_id text not null,
    contact_id text not null,
    open_time timestamptz not null,
    primary key (workspace_id, contact_id)
);

insert into machine_opens (workspace_id, contact_id, open_time)
select m.workspace_id, m.contact_id, max(e.create_time)
from engagements as e
join messages as m using (workspace_id, message_id)
where e.kind = 'opened' and e.actor = 'machine'
group by m.workspace_id, m.contact_id;
