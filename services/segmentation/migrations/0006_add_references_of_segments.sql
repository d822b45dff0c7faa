-- The segments that a rule refers to, and the revision of each that it means: when one of them changes, the segment
-- gets a new revision too, so a revision means the same members for ever.

alter table segment_revisions
    add column reference_ids text[] not null default '{}',
    add column reference_revisions bigint[] not null default '{}',
    add constraint references_have_revisions
        check (cardinality(reference_ids) = cardinality(reference_revisions));

create index segment_revisions_by_reference on segment_revisions using gin (reference_ids);
