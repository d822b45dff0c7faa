-- Most changes of a block's members are few: they are kept beside the members that were last stored whole, so that eight
-- thousand bytes are not written for each.

-- Slots, packed as in `block.rs`: they are members where `members` says that they are not, and the other way round.
alter table containers add column turned bytea not null default '';

-- Room on each page for the next version of a row.
alter table containers set (fillfactor = 50);
