# Puts a Tide Recorder server on this machine, or brings one up to date. It is run by
#
#   iex (docker run --rm @IMAGE@ init --powershell | Out-String)
#
# and makes the folder `tide-recorder` here, with the compose file and a file `.env` in it; a server that is here already stays
# in its folder. The variables TIDE_FOLDER, TIDE_PUBLIC_NAME, TIDE_PORT and ADMIN_PASS answer its questions beforehand.
& {
    # A program's words on standard error are no reason to end; what must not fail says so itself.
    $ErrorActionPreference = 'Continue'
    $image = '@IMAGE@'
    $container = 'tide-recorder-server-https'

    # A line of `.env`, in place of the one that was there. Without a byte order mark: compose does not take one.
    function Set-Setting($name, $value) {
        $lines = @(Get-Content .env | Where-Object { $_ -notlike "$name=*" }) + "$name=$value"
        [IO.File]::WriteAllLines((Join-Path $folder '.env'), $lines)
    }

    function Get-Setting($name) {
        Get-Content .env | Where-Object { $_ -like "$name=*" } | Select-Object -Last 1 | ForEach-Object { $_.Substring($name.Length + 1) }
    }

    # One that is wrong in the certificate and in every station's settings is found late.
    function Test-Name($name) {
        if ($name -match '[/\s]|^[^:]*:[^:]*$') {
            throw "tide-server init: '$name' is no name or address alone: it goes without https:// and port (for instance tide.example.org or 192.0.2.7)."
        }
    }

    # The password that the first start has printed, as long as that container is there.
    function Get-PrintedPassword {
        docker compose logs 2> $null | Select-String ' password   (\S+)' | Select-Object -Last 1 | ForEach-Object { $_.Matches[0].Groups[1].Value }
    }

    docker info *> $null
    if ($LASTEXITCODE) { throw 'tide-server init: Docker does not answer. Install Docker Desktop, start it, then run this again.' }

    # A second folder would be a second, empty server in the place of the one that is here.
    $present = $null
    $labels = docker inspect --format '{{json .Config.Labels}}' $container 2> $null
    if (-not $LASTEXITCODE) {
        $labels = $labels | ConvertFrom-Json
        if ($labels.'org.opencontainers.image.title' -ne 'Tide Recorder server') {
            throw "tide-server init: There is a container $container on this machine already, which is another server: the prototype, most likely. Save its photos and its database first, as the README says under 'Coming from the prototype', then remove it and run this again."
        }
        $present = $labels.'com.docker.compose.project.working_dir'
    }
    $folder = if ($env:TIDE_FOLDER) { $env:TIDE_FOLDER } elseif ($present) { $present } else { Join-Path $PWD 'tide-recorder' }
    if (-not $present -and -not (Test-Path (Join-Path $folder '.env'))) {
        docker volume inspect tide-recorder-data *> $null
        if (-not $LASTEXITCODE) {
            throw "tide-server init: A server's photos are on this machine already (volume tide-recorder-data), and its settings are not in $folder. Name its folder in `$env:TIDE_FOLDER; if that is gone, make $folder and an empty file .env in it. Then run this again."
        }
    }
    New-Item -ItemType Directory -Force -ErrorAction Stop $folder | Out-Null
    $folder = (Resolve-Path -ErrorAction Stop $folder).Path
    if ($present -and (Test-Path $present) -and (Resolve-Path $present).Path -ne $folder) {
        throw "tide-server init: The server of this machine lies in $present. Run this again without TIDE_FOLDER."
    }
    Push-Location -ErrorAction Stop $folder
    try {
        if (-not (Test-Path .env)) { New-Item -ItemType File -ErrorAction Stop .env | Out-Null }
        # Only the end of a first run writes this: one that failed half-way is begun again, password and all.
        $doneLine = '# tide-server init has put this server here'
        $isNew = (Get-Content .env) -notcontains $doneLine
        $compose = @'
@COMPOSE@
'@ + "`n"
        # Whoever has changed something there meant it: a volume on another disk, for instance, which an update must not leave.
        if (Test-Path docker-compose.yml) {
            $there = Get-Content -Raw docker-compose.yml
            $written = if (Test-Path .docker-compose.yml.written) { Get-Content -Raw .docker-compose.yml.written }
            if ($there -ne $compose -and $there -ne $written) {
                throw "tide-server init: $folder/docker-compose.yml is not as this command has left it. Write your changes into docker-compose.override.yml, which compose lays over it, remove docker-compose.yml, then run this again."
            }
        }
        foreach ($file in '.docker-compose.yml.written', 'docker-compose.yml') { [IO.File]::WriteAllText((Join-Path $folder $file), $compose) }
        # For passwords and certificates; what lies in it, the container's user has to be able to read.
        New-Item -ItemType Directory -Force -ErrorAction Stop secrets | Out-Null
        Set-Setting TIDE_IMAGE $image
        if ($env:TIDE_PORT) { Set-Setting TIDE_PORT $env:TIDE_PORT }
        if ($env:TIDE_PUBLIC_NAME) {
            Test-Name $env:TIDE_PUBLIC_NAME
            Set-Setting TIDE_PUBLIC_NAME $env:TIDE_PUBLIC_NAME
        } elseif ($isNew -or -not (Get-Setting TIDE_PUBLIC_NAME)) {
            # The address of this machine on the way that leads out of it.
            $way = Get-NetIPConfiguration | Where-Object { $_.IPv4DefaultGateway -and $_.NetAdapter.Status -eq 'Up' } | Select-Object -First 1
            $own = $way.IPv4Address | Select-Object -First 1 -ExpandProperty IPAddress
            $before = Get-Setting TIDE_PUBLIC_NAME
            if ($before) { $own = $before }
            $name = Read-Host "Name or address under which stations and browsers reach this machine [$own]"
            if (-not $name) { $name = $own }
            if (-not $name) { throw 'tide-server init: This machine has no address that could be found. Set $env:TIDE_PUBLIC_NAME to its name or address, then run this again.' }
            Test-Name $name
            Set-Setting TIDE_PUBLIC_NAME $name
        }
        $name = Get-Setting TIDE_PUBLIC_NAME
        $port = Get-Setting TIDE_PORT
        if (-not $port) { $port = 5000 }

        $chosen = $env:ADMIN_PASS
        $user = Get-Setting ADMIN_USER
        if (-not $user) { $user = 'admin' }
        # What the shell still holds would win over the file, and a password would stay readable in the container's settings.
        $passedOn = [regex]::Matches($compose, '(?m)^      ([A-Z_]+): ') | ForEach-Object { $_.Groups[1].Value }
        foreach ($variable in @('TIDE_IMAGE', 'TIDE_PORT', 'TIDE_CPUS') + $passedOn) { Remove-Item -ErrorAction Ignore "env:$variable" }
        # It goes with the container's log, should that container be made anew.
        $password = Get-PrintedPassword
        docker compose up -d
        if ($LASTEXITCODE) { throw 'tide-server init: The container could not be started; the lines above say why. Mend that, then run this again. If it is the port that is taken, another one is chosen by $env:TIDE_PORT = 5001.' }
        Write-Host 'Waiting for the server to be well ' -NoNewline
        for ($waited = 0; ; $waited += 2) {
            docker compose exec -T web tide-server healthcheck *> $null
            if (-not $LASTEXITCODE) { break }
            $restarts = [int](docker inspect --format '{{ .RestartCount }}' $container 2> $null)
            if ($waited -gt 120 -or $restarts -gt 2) {
                docker compose logs --tail 20
                throw "tide-server init: The server does not get well; its last words are above. Mend what they say in $folder/.env, then run this again."
            }
            Write-Host '.' -NoNewline
            Start-Sleep 2
        }
        Write-Host

        if (-not $isNew) { $password = $null }
        elseif (-not $password) { $password = Get-PrintedPassword }
        if ($password) {
            if (-not $chosen) {
                $typed = Read-Host "Password for the operator $user, at least 8 characters (Enter: one is made)" -AsSecureString
                $chosen = [Net.NetworkCredential]::new('', $typed).Password
            }
            if ($chosen) {
                # Through a pipe: what is on a command line can be seen by others on this machine.
                $OutputEncoding = [Text.UTF8Encoding]::new($false)
                $chosen | docker compose exec -T web tide-server operator password $user
                if ($LASTEXITCODE) { Write-Host 'That password was not taken; the one below stays.' }
                else { $password = '(as you have chosen)' }
            }
        }

        Write-Host "`n  Open      https://${name}:$port"
        Write-Host "            (the certificate is this server's own: browsers ask about it once)"
        if ($password) {
            Write-Host "  User      $user"
            Write-Host "  Password  $password"
        } elseif ($isNew) {
            Write-Host "  Password  made before, and not shown again; a new one: docker compose exec web tide-server operator password $user"
        }
        Write-Host "  Folder    $folder`n"
        Write-Host "  The settings for a station's card, which go there as tide.toml; to be run in that folder:`n"
        Write-Host '      $new = docker compose exec -T web tide-server station add pier-3 --config; if (-not $LASTEXITCODE) { $new | Out-File -NoClobber -Encoding ascii pier-3.toml }'
        Write-Host
        if ($isNew) { [IO.File]::AppendAllText((Join-Path $folder '.env'), "$doneLine`n") }
    } finally {
        Pop-Location
    }
}
