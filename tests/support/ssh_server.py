"""An SSH server that runs what it is asked to in shells: `ssh_server.py HOME`, until it is killed.

It makes HOME/.ssh with a key, this server's host key, and a configuration in which the hosts `one` and `two` are this
server, and `nowhere` is none.
"""

import asyncio
import sys
from pathlib import Path

import asyncssh


async def run(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_shell(
        process.command or "true", stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    assert child.stdout
    assert child.stderr
    await asyncio.gather(copy(child.stdout, process.stdout), copy(child.stderr, process.stderr))
    process.exit(await child.wait())


async def copy(source: asyncio.StreamReader, target: "asyncssh.SSHWriter[bytes]") -> None:
    while chunk := await source.read(65536):
        target.write(chunk)


async def main(home: Path) -> None:
    folder = home / ".ssh"
    folder.mkdir()
    key, host_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    key.write_private_key(folder / "key")
    key.write_public_key(folder / "authorized")
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=str(folder / "authorized"),
        process_factory=run,
        encoding=None,
    )
    port = server.get_port()
    public = host_key.export_public_key().decode().strip()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    written = folder / "config.new"
    written.write_text(
        f"Host one two\n  HostName 127.0.0.1\n  Port {port}\n  User anyone\n"
        f'  IdentityFile "{folder}/key"\n  UserKnownHostsFile "{folder}/known_hosts"\n'
        "Host nowhere\n  HostName 127.0.0.1\n  Port 9\n"
    )
    written.rename(folder / "config")
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
