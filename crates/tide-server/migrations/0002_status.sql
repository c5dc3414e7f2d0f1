-- What the station's clock had said, if a photo's time was found later.
alter table photo add column clock_said bigint;

-- How far off the camera knew the moment, in milliseconds, whatever the clock was worth.
alter table photo add column moment_ms bigint;

-- Photos whose time may still be found, once their station's clock is good in the same boot.
create index photo_without_time on photo (station_id, boot_id) where clock_source = 'unsynchronised';

-- How each station last said it is.
create table station_status (
    station_id integer primary key references station (id),
    -- JSON, as tide-photo's StationStatus writes it.
    status text not null,
    -- By the server's clock.
    received_at bigint not null,
    first_received_at bigint not null
);
