-- When the events of a change happened, ten bytes each: the slot and the microsecond. So they need not be read again.
-- Empty where that is not told.
alter table block_changes add column times bytea not null default '';
