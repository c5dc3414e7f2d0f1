# Puts a Tide Recorder server on this machine, or brings one up to date. It is run by
#
#   iex (docker run --rm @IMAGE@ init --powershell | Out-String)
#
# and makes the folder `tide-recorder` here, with the compose file and a file `.env` in it. The variables TIDE_FOLDER,
# TIDE_PUBLIC_NAME, TIDE_PORT and ADMIN_PASS answer its questions beforehand.
& {
    # A program's words on standard error are no reason to end; what must not fail says so itself.
    $ErrorActionPreference = 'Continue'
    $image = '@IMAGE@'
    $folder = if ($env:TIDE_FOLDER) { $env:TIDE_FOLDER } else { Join-Path $PWD 'tide-recorder' }

    # A line of `.env`, in place of the one that was there. Without a byte order mark: compose does not take one.
    function Set-Setting($name, $value) {
        $lines = @(Get-Content .env | Where-Object { $_ -notlike "$name=*" }) + "$name=$value"
        [IO.File]::WriteAllLines((Join-Path $folder '.env'), $lines)
    }

    function Get-Setting($name) {
        Get-Content .env | Where-Object { $_ -like "$name=*" } | Select-Object -Last 1 | ForEach-Object { $_.Substring($name.Length + 1) }
    }

    docker info *> $null
    if ($LASTEXITCODE) { throw 'tide-server init: Docker does not answer. Install Docker Desktop, start it, then run this again.' }

    New-Item -ItemType Directory -Force -ErrorAction Stop $folder | Out-Null
    $folder = (Resolve-Path -ErrorAction Stop $folder).Path
    Push-Location -ErrorAction Stop $folder
    try {
        if (-not (Test-Path .env)) { New-Item -ItemType File -ErrorAction Stop .env | Out-Null }
        # Only the end of a first run writes this: one that failed half-way is begun again, password and all.
        $doneLine = '# tide-server init has put this server here'
        $isNew = (Get-Content .env) -notcontains $doneLine
        $compose = @'
@COMPOSE@
'@ + "`n"
        # Changes of one's own belong into docker-compose.override.yml; whoever made some here finds them again.
        if ((Test-Path docker-compose.yml) -and (Get-Content -Raw docker-compose.yml) -ne $compose) {
            Move-Item -Force -ErrorAction Stop docker-compose.yml docker-compose.yml.before
            Write-Host "The compose file has changed; the one before is $folder/docker-compose.yml.before"
        }
        [IO.File]::WriteAllText((Join-Path $folder 'docker-compose.yml'), $compose)
        Set-Setting TIDE_IMAGE $image
        if ($env:TIDE_PORT) { Set-Setting TIDE_PORT $env:TIDE_PORT }
        if ($env:TIDE_PUBLIC_NAME) {
            Set-Setting TIDE_PUBLIC_NAME $env:TIDE_PUBLIC_NAME
        } elseif (-not (Get-Setting TIDE_PUBLIC_NAME)) {
            # The address of this machine on the way that leads out of it.
            $way = Get-NetIPConfiguration | Where-Object { $_.IPv4DefaultGateway -and $_.NetAdapter.Status -eq 'Up' } | Select-Object -First 1
            $own = $way.IPv4Address | Select-Object -First 1 -ExpandProperty IPAddress
            $name = Read-Host "Name or address under which stations and browsers reach this machine [$own]"
            if (-not $name) { $name = $own }
            if (-not $name) { throw 'tide-server init: This machine has no address that could be found. Set $env:TIDE_PUBLIC_NAME to its name or address, then run this again.' }
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
        docker compose up -d
        if ($LASTEXITCODE) { throw 'tide-server init: The container could not be started; the lines above say why. Mend that, then run this again.' }
        Write-Host 'Waiting for the server to be well ' -NoNewline
        for ($waited = 0; ; $waited += 2) {
            docker compose exec -T web tide-server healthcheck *> $null
            if (-not $LASTEXITCODE) { break }
            if ($waited -gt 120) {
                docker compose logs --tail 20
                throw 'tide-server init: The server is not well after two minutes; its last words are above.'
            }
            Write-Host '.' -NoNewline
            Start-Sleep 2
        }
        Write-Host

        $password = $null
        if ($isNew) {
            $password = docker compose logs | Select-String ' password   (\S+)' | Select-Object -Last 1 | ForEach-Object { $_.Matches[0].Groups[1].Value }
        }
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
        Write-Host "  The tide.toml for a station's card, to be run in that folder:`n"
        Write-Host "      docker compose exec -T web tide-server station add pier-3 --config | Set-Content -Encoding ascii tide.toml`n"
        if ($isNew) { [IO.File]::AppendAllText((Join-Path $folder '.env'), "$doneLine`n") }
    } finally {
        Pop-Location
    }
}
