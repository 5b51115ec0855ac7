"""An S3 server on localhost, in a process of its own; run as a program it is that process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BUCKET = "faces"
KEY_ID, SECRET = "AKIAOFTHISTEST", "t0p/secret+of+this+test"


def environment(port: int) -> dict[str, str]:
    """The variables of a process that is to use the server at a port."""
    return {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Start a server with one empty bucket, and give the variables of a process that is to use it."""
    with subprocess.Popen(
        [sys.executable, __file__],
        text=True,
        env={**os.environ, **environment(0)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield environment(int(process.stdout.readline()))
        finally:
            process.stdin.close()


def main() -> None:
    """Serve until standard input ends; the port is the one line of output."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    print(port, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
