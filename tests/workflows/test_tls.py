"""With TLS, who has no certificate is turned away; and nothing listens to other machines unless it is asked to."""

import os
import ssl
import stat
from pathlib import Path

import click
import psutil
import pytest
from click.testing import CliRunner
from tls_clients import check_that_others_are_turned_away

from pipeline.errors import UserError
from workflows.cli.options import job_options
from workflows.cluster.open import open_cluster
from workflows.cluster.tls import AUTHORITY, CERTIFICATE, KEY, tls_required

pytest.importorskip("cryptography", reason="making certificates needs the package cryptography")


def test_certificates_are_made_once_and_are_the_users_alone(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    with tls_required(folder):
        made = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert made.keys() == {AUTHORITY, CERTIFICATE, KEY}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    with tls_required(folder):
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == made
    context = ssl.create_default_context(cafile=str(folder / AUTHORITY))
    context.load_cert_chain(folder / CERTIFICATE, folder / KEY)  # the pair fits


def test_dask_is_told_nothing_any_more_when_the_command_ends(tmp_path: Path) -> None:
    before = dict(os.environ)
    with tls_required(tmp_path / "tls"):
        assert os.environ["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "True"
    assert dict(os.environ) == before


def test_the_option_holds_for_its_command_alone(tmp_path: Path) -> None:
    @click.command()
    @job_options("cluster")
    def command(cluster: str) -> None:
        click.echo(f"{cluster} {os.environ['DASK_DISTRIBUTED__COMM__TLS__CA_FILE']}")

    result = CliRunner().invoke(command, ["--tls", str(tmp_path / "tls")], catch_exceptions=False)
    assert result.output == f"local {tmp_path / 'tls' / AUTHORITY}\n"
    assert "DASK_DISTRIBUTED__COMM__TLS__CA_FILE" not in os.environ


def test_with_tls_an_open_scheduler_is_not_joined(tmp_path: Path) -> None:
    with tls_required(tmp_path), pytest.raises(UserError, match="tcp"), open_cluster("tcp://127.0.0.1:9"):
        pass


def test_what_lacks_of_given_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / CERTIFICATE).write_text("x")
    with pytest.raises(UserError, match=r"lacks ca\.pem, key\.pem"), tls_required(tmp_path):
        pass


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with tls_required(tmp_path / "tls"):
        pass
    (tmp_path / "tls" / KEY).chmod(0o644)
    with pytest.raises(UserError, match="others can read the private key"), tls_required(tmp_path / "tls"):
        pass


@pytest.mark.timeout(600)
def test_a_client_without_the_certificate_is_turned_away(tmp_path: Path) -> None:
    with tls_required(tmp_path / "ours"), open_cluster("local:1") as own:
        address = own.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        assert own.submit(sum, [1, 2]).result(120) == 3
        _nothing_listens_to_others()
        with tls_required(tmp_path / "theirs"), pytest.raises(UserError), open_cluster(address):
            pass  # another authority signed it
        check_that_others_are_turned_away(own, tmp_path / "ours", tmp_path / "theirs")
        with open_cluster(address) as joined:
            assert joined.submit(sum, [3, 4]).result(120) == 7


@pytest.mark.timeout(600)
def test_a_cluster_of_this_machine_is_reached_from_this_machine_only() -> None:
    with open_cluster("local:1") as client:
        assert client.submit(sum, [1, 2]).result(120) == 3
        _nothing_listens_to_others()


def _nothing_listens_to_others() -> None:
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3  # scheduler, nanny and worker at least
    assert set(listening) <= {"127.0.0.1", "::1"}
