"""TLS between the driver, the scheduler and the workers: peers without a certificate of ours are refused.

`python -m workflows.cluster.tls FOLDER` makes the certificates, for a cluster that is started by other means.

Anyone who reaches a Dask scheduler can run code on its workers, so on a shared network the connections must be closed
to others. Both sides of each connection present a certificate signed by one authority.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pipeline.errors import UserError

AUTHORITY: Final = "ca.pem"
CERTIFICATE: Final = "cert.pem"
KEY: Final = "key.pem"

_DAYS: Final = 365
_PREFIX: Final = "DASK_DISTRIBUTED__COMM__"
_ROLES: Final = ("CLIENT", "SCHEDULER", "WORKER")


@contextmanager
def tls_required(folder: Path) -> Iterator[None]:
    """Make every Dask process that this one starts or joins use TLS with the certificate in a folder.

    The folder holds `ca.pem`, `cert.pem` and `key.pem`, which are made if it is missing or empty. Dask is configured
    through its environment, which workers inherit and which is restored when the block ends.

    Raises UserError when a file is missing, others can read the key, or no certificate can be made.
    """
    files = _certificate(folder.absolute())
    settings = {
        f"{_PREFIX}REQUIRE_ENCRYPTION": "True",
        # a scheduler with a host but no protocol would otherwise use tcp:// and refuse its own connections
        f"{_PREFIX}DEFAULT_SCHEME": "tls",
        f"{_PREFIX}TLS__CA_FILE": str(files[AUTHORITY]),
        **{f"{_PREFIX}TLS__{role}__CERT": str(files[CERTIFICATE]) for role in _ROLES},
        **{f"{_PREFIX}TLS__{role}__KEY": str(files[KEY]) for role in _ROLES},
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    _reread()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _reread()


def _reread() -> None:
    """Make Dask read its environment again if it is imported already; importing it would take a second."""
    if (config := sys.modules.get("dask.config")) is not None:
        config.refresh()


def _certificate(folder: Path) -> dict[str, Path]:
    files = {name: folder / name for name in (AUTHORITY, CERTIFICATE, KEY)}
    try:
        if not any(path.exists() for path in files.values()):
            _make(folder)
        missing = [name for name, path in files.items() if not path.is_file()]
        if missing:
            raise UserError(
                f"{folder} lacks {', '.join(missing)}: put the authority's certificate there as {AUTHORITY} and "
                f"yours as {CERTIFICATE} and {KEY}, or give an empty folder to have them made"
            )
        if stat.S_IMODE(files[KEY].stat().st_mode) & 0o077:
            raise UserError(f"others can read the private key {files[KEY]}: run chmod 600 on it")
    except OSError as error:
        raise UserError(f"cannot use the certificates in {folder}: {error.strerror or error}") from error
    return files


def _make(folder: Path) -> None:
    """Make an authority and one certificate for all; the authority's key is discarded, so it signs no others."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    except ImportError as error:
        raise UserError(
            f"there are no certificates in {folder}, and making them needs the package cryptography: "
            f"pip install 'crface[tls]', or put {AUTHORITY}, {CERTIFICATE} and {KEY} there"
        ) from error

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])

    now = datetime.now(UTC)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    certificates = {}
    for file, name, public_key, is_authority in (
        (AUTHORITY, "crface authority", authority_key.public_key(), True),
        (CERTIFICATE, "crface", key.public_key(), False),
    ):
        builder = x509.CertificateBuilder(
            issuer_name=named("crface authority"),
            subject_name=named(name),
            public_key=public_key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(hours=1),  # clocks in a cluster differ
            not_valid_after=now + timedelta(days=_DAYS),
        )
        builder = builder.add_extension(x509.BasicConstraints(is_authority, path_length=None), critical=True)
        certificates[file] = builder.sign(authority_key, hashes.SHA256()).public_bytes(Encoding.PEM)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for file, data in {**certificates, KEY: content}.items():
        descriptor = os.open(folder / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)


def _main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m workflows.cluster.tls FOLDER", file=sys.stderr)
        return 2
    try:
        _certificate(Path(sys.argv[1]).absolute())
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
