-- What the station's clock had said, if a photo's time was found later.
alter table photo add column clock_said bigint;

-- How each station last said it is.
create table station_status (
    station_id integer primary key references station (id),
    -- JSON, as tide-photo's StationStatus writes it.
    status text not null,
    -- By the server's clock.
    received_at bigint not null,
    first_received_at bigint not null
);
