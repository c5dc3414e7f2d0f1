-- Times are microseconds since 1970 UTC. Secrets are stored only as hashes.

create table station (
    id integer primary key autoincrement,
    name text not null unique,
    -- 1 for the one station that takes the uploads of old devices without a token.
    is_anonymous integer not null default 0,
    created_at bigint not null
);

create table station_token (
    -- SHA-256 of the token: 32 random bytes need no slow hash.
    hash blob primary key,
    station_id integer not null references station (id),
    created_at bigint not null
);

create table photo (
    id integer primary key autoincrement,
    station_id integer not null references station (id),
    digest blob not null,
    size_bytes bigint not null,
    width integer not null,
    height integer not null,
    captured_at bigint not null,
    clock_source text not null,
    uncertainty_ms bigint,
    received_at bigint not null,
    -- Where the photo store keeps the bytes, and the name under which /uploads serves them.
    store_key text not null unique,
    file_name text not null unique,
    -- From the manifest; absent for photos that came through the old door.
    sequence bigint,
    boot_id text,
    monotonic_us bigint,
    camera text,
    -- The timestamp of an old device, in its own words.
    client_timestamp text,
    -- 1 for photos that were a prototype server's: there, two names may have had the same bytes.
    is_imported integer not null default 0
);

-- A photo is its bytes: a repeat finds this.
create unique index photo_once on photo (station_id, digest) where is_imported = 0;

create index photo_by_time on photo (captured_at, id);
create index photo_by_station_and_time on photo (station_id, captured_at, id);

-- Rows of a prototype server whose photo was lost there: missing, empty, cut off, overwritten.
create table lost_photo (
    id integer primary key autoincrement,
    station_id integer not null references station (id),
    -- The prototype's number, name and timestamp.
    old_id bigint not null,
    file_name text not null,
    client_timestamp text not null,
    reason text not null,
    unique (station_id, old_id)
);

create table operator (
    id integer primary key autoincrement,
    name text not null unique,
    role text not null,
    password_hash text not null,
    created_at bigint not null
);

create table session (
    -- SHA-256 of the cookie's value.
    hash blob primary key,
    operator_id integer not null references operator (id),
    created_at bigint not null,
    expires_at bigint not null
);

create index session_by_expiry on session (expires_at);

create table login_failure (
    -- `account NAME` or `address IP`: both are slowed down by themselves.
    subject text primary key,
    failures integer not null,
    last_at bigint not null
);

create table audit (
    id integer primary key autoincrement,
    at bigint not null,
    -- Who did it: an operator's name, or `command line`.
    actor text not null,
    action text not null,
    -- To whom or what it was done; empty where the actor says it.
    subject text not null,
    -- From where, if over the network.
    address text
);
