#!/bin/sh
# Puts a Tide Recorder server on this machine, or brings one up to date. It is run by
#
#   sh -c "$(docker run --rm @IMAGE@ init)"
#
# and makes the folder `tide-recorder` here, with the compose file and a file `.env` in it; a server that is here already stays
# in its folder. TIDE_FOLDER names another folder, TIDE_PUBLIC_NAME, TIDE_PORT and ADMIN_PASS answer its questions beforehand.
set -eu
# What a container of ours could read there is nobody else's business.
umask 077

image='@IMAGE@'
container=tide-recorder-server-https

fail() {
    printf '\ntide-server init: %s\n' "$1" >&2
    exit 1
}

# The address of this machine on the way that leads out of it.
own_address() {
    case $(uname -s) in
        Darwin) ipconfig getifaddr "$(route -n get default | awk '/interface:/ { print $2 }')" ;;
        *)
            own=$(ip -4 route get 192.0.2.1 | sed -n 's/.* src \([0-9.]*\).*/\1/p')
            [ -n "$own" ] || own=$(hostname -I | cut -d ' ' -f 1)
            printf '%s\n' "$own"
            ;;
    esac 2>/dev/null | head -n 1
}

# ask QUESTION DEFAULT: the answer, or the default where nobody can be asked.
ask() {
    answer=
    if [ -t 0 ]; then
        printf '%s [%s]: ' "$1" "$2" >&2
        read -r answer || true
    fi
    printf '%s' "${answer:-$2}"
}

# setting NAME VALUE: a line of `.env`, in place of the one that was there.
setting() {
    { grep -v "^$1=" .env || true; } > .env.new
    printf '%s=%s\n' "$1" "$2" >> .env.new
    mv .env.new .env
}

value_of() {
    sed -n "s/^$1=//p" .env | tail -n 1
}

# label NAME: what the container that is here already says of itself; nothing, if there is none.
label() {
    docker inspect --format "{{ index .Config.Labels \"$1\" }}" "$container" 2>/dev/null || true
}

# One that is wrong in the certificate and in every station's settings is found late.
check_name() {
    case $1 in
        */* | *[[:space:]]*) fail "\"$1\" is no name or address alone: it goes without https:// (for instance tide.example.org or 192.0.2.7)." ;;
        *:*:*) ;;
        *:*) fail "\"$1\" has a port: TIDE_PORT names that, and the name goes without." ;;
    esac
}

# The password that the first start has printed, as long as that container is there.
printed_password() {
    $compose logs 2>/dev/null < /dev/null | sed -n 's/.* password   //p' | tail -n 1
}

docker info > /dev/null 2>&1 || fail 'Docker does not answer. Install it, start it, and see that "docker info" works for this user; then run this again.'
if docker compose version > /dev/null 2>&1; then
    compose='docker compose'
elif command -v docker-compose > /dev/null; then
    compose='docker-compose'
else
    fail 'Docker has no compose here. Install the package docker-compose-plugin (or docker-compose), then run this again.'
fi

# A second folder would be a second, empty server in the place of the one that is here.
present=
if docker inspect "$container" > /dev/null 2>&1; then
    [ "$(label org.opencontainers.image.title)" = 'Tide Recorder server' ] ||
        fail "There is a container $container on this machine already, which is another server: the prototype, most likely. Save its photos and its database first, as the README says under \"Coming from the prototype\", then remove it and run this again."
    present=$(label com.docker.compose.project.working_dir)
fi
folder=${TIDE_FOLDER:-${present:-$PWD/tide-recorder}}
if [ -z "$present" ] && [ ! -e "$folder/.env" ] && docker volume inspect tide-recorder-data > /dev/null 2>&1; then
    fail "A server's photos are on this machine already (volume tide-recorder-data), and its settings are not in $folder. Name its folder in TIDE_FOLDER; if that is gone, make $folder and an empty file .env in it. Then run this again."
fi
if [ ! -d "$folder" ]; then
    mkdir -p "$folder" || fail "The folder $folder cannot be made. Name another in TIDE_FOLDER."
fi
cd "$folder" || fail "The folder $folder cannot be used. Name another in TIDE_FOLDER."
if [ -d "$present" ] && [ "$(cd "$present" && pwd -P)" != "$(pwd -P)" ]; then
    fail "The server of this machine lies in $present. Run this again without TIDE_FOLDER."
fi
[ -e .env ] || : > .env
# Only the end of a first run writes this: one that failed half-way is begun again, password and all.
done_line='# tide-server init has put this server here'
is_new=yes
if grep -qxF "$done_line" .env; then
    is_new=
fi
cat > docker-compose.yml.new << 'END OF THE COMPOSE FILE'
@COMPOSE@
END OF THE COMPOSE FILE
# Whoever has changed something there meant it: a volume on another disk, for instance, which an update must not leave.
if [ -e docker-compose.yml ] && ! cmp -s docker-compose.yml docker-compose.yml.new &&
    ! cmp -s docker-compose.yml .docker-compose.yml.written; then
    rm -f docker-compose.yml.new
    fail "$folder/docker-compose.yml is not as this command has left it. Write your changes into docker-compose.override.yml, which compose lays over it, remove docker-compose.yml, then run this again."
fi
cp docker-compose.yml.new .docker-compose.yml.written
mv docker-compose.yml.new docker-compose.yml
# For passwords and certificates; what lies in it, the container's user has to be able to read.
[ -d secrets ] || { mkdir secrets && chmod 755 secrets; }

setting TIDE_IMAGE "$image"
[ -z "${TIDE_PORT:-}" ] || setting TIDE_PORT "$TIDE_PORT"
if [ -n "${TIDE_PUBLIC_NAME:-}" ]; then
    check_name "$TIDE_PUBLIC_NAME"
    setting TIDE_PUBLIC_NAME "$TIDE_PUBLIC_NAME"
elif [ -n "$is_new" ] || [ -z "$(value_of TIDE_PUBLIC_NAME)" ]; then
    name=$(value_of TIDE_PUBLIC_NAME)
    name=$(ask 'Name or address under which stations and browsers reach this machine' "${name:-$(own_address)}")
    [ -n "$name" ] || fail 'This machine has no address that could be found. Set TIDE_PUBLIC_NAME to its name or address, then run this again.'
    check_name "$name"
    setting TIDE_PUBLIC_NAME "$name"
fi
name=$(value_of TIDE_PUBLIC_NAME)
port=$(value_of TIDE_PORT)
chosen=${ADMIN_PASS:-}
user=$(value_of ADMIN_USER)
user=${user:-admin}
# What the shell still holds would win over the file, and a password would stay readable in the container's settings.
for variable in TIDE_IMAGE TIDE_PORT TIDE_CPUS $(sed -n 's/^      \([A-Z_]*\): .*/\1/p' docker-compose.yml); do
    unset "$variable"
done

# It goes with the container's log, should that container be made anew.
password=$(printed_password)
if [ "$compose" = docker-compose ]; then
    # Version 1 fails at replacing a container that a newer engine has made.
    $compose rm --stop --force web > /dev/null 2>&1 < /dev/null || true
fi
$compose up -d < /dev/null ||
    fail 'The container could not be started; the lines above say why. Mend that, then run this again. If it is the port that is taken (on a Mac by its AirPlay Receiver), another one is chosen by TIDE_PORT=5001.'
printf 'Waiting for the server to be well ' >&2
waited=0
until $compose exec -T web tide-server healthcheck > /dev/null 2>&1 < /dev/null; do
    waited=$((waited + 2))
    restarts=$(docker inspect --format '{{ .RestartCount }}' "$container" 2>/dev/null || echo 0)
    if [ "$waited" -gt 120 ] || [ "$restarts" -gt 2 ]; then
        $compose logs --tail 20 >&2 < /dev/null
        fail "The server does not get well; its last words are above. Mend what they say in $folder/.env, then run this again."
    fi
    printf '.' >&2
    sleep 2
done
printf '\n' >&2

if [ -n "$is_new" ]; then
    password=${password:-$(printed_password)}
else
    password=
fi
if [ -n "$password" ]; then
    if [ -z "$chosen" ] && [ -t 0 ]; then
        printf 'Password for the operator %s, at least 8 characters (Enter: one is made): ' "$user" >&2
        trap 'stty echo' EXIT
        trap 'stty echo; exit 130' INT TERM HUP
        stty -echo
        read -r chosen || true
        stty echo
        trap - EXIT INT TERM HUP
        printf '\n' >&2
    fi
    if [ -n "$chosen" ]; then
        # Through a pipe: what is on a command line can be seen by everybody on this machine.
        if printf '%s\n' "$chosen" | $compose exec -T web tide-server operator password "$user"; then
            password='(as you have chosen)'
        else
            printf 'That password was not taken; the one below stays.\n' >&2
        fi
    fi
fi

printf '\n  Open      https://%s:%s\n' "$name" "${port:-5000}"
printf '            (the certificate is this server'\''s own: browsers ask about it once)\n'
if [ -n "$password" ]; then
    printf '  User      %s\n' "$user"
    printf '  Password  %s\n' "$password"
elif [ -n "$is_new" ]; then
    printf '  Password  made before, and not shown again; a new one: %s exec web tide-server operator password %s\n' "$compose" "$user"
fi
printf '  Folder    %s\n\n' "$folder"
printf '  The settings for a station'\''s card, which go there as tide.toml:\n\n'
printf '      (umask 077; cd "%s" && %s exec -T web tide-server station add pier-3 --config > new && mv -n new pier-3.toml)\n\n' "$folder" "$compose"
[ -z "$is_new" ] || printf '%s\n' "$done_line" >> .env
