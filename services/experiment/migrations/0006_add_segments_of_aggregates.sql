-- Counts that are told by segment, apart from those of everybody, which are read far more often.

alter table aggregates add column segments jsonb;
