-- Who follows a feed may be gone without a word, so it counts as followed while the session that follows it lives.

alter table followings
    add column session_pid integer,
    -- Numbers of sessions are used again.
    add column session_start_time timestamptz,
    -- When a fact last came that is newer than all before, or the connection was made.
    add column advance_time timestamptz;
