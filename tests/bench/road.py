"""`vedette bench road` on a broker of its own: python -m tests.bench.road [OPTIONS]."""

import os
import subprocess
import sys

from tests.live.broker import Broker

_MAIN = "from consumers.cli import main; main()"


def main() -> int:
    with Broker() as broker:
        told = {"VEDETTE_KAFKA__BROKERS": f'["{broker.address}"]'}
        command = [sys.executable, "-c", _MAIN, "bench", "road", *sys.argv[1:]]
        return subprocess.run(command, env=os.environ | told, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
