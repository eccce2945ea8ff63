"""Whether the process of this container makes progress: exit code 0, or 1 with a sentence.

`/livez` of the first address that answers decides. LIVEZ holds them, with spaces between; by
default those of `vedette run` and `vedette shadow`, and of `vedette serve`.
"""

import os
import ssl
import sys
import urllib.error
import urllib.request

DEFAULT = "http://127.0.0.1:9464/livez http://127.0.0.1:8080/livez https://127.0.0.1:8080/livez"
_WAIT_S = 4.0


def main() -> str | None:
    """What is wrong; nothing where the process lives."""
    # The certificate names a host, not the loopback; who asks is in the same container.
    unnamed = ssl._create_unverified_context()
    proxied = urllib.request.ProxyHandler({})
    opener = urllib.request.build_opener(proxied, urllib.request.HTTPSHandler(context=unnamed))
    problem = "no address"
    for address in os.environ.get("LIVEZ", DEFAULT).split():
        try:
            with opener.open(address, timeout=_WAIT_S):
                return None
        except urllib.error.HTTPError as error:
            problem = f"{address}: {error.code}"
            if error.code == 503:
                break
        except OSError as error:
            problem = f"{address}: {error}"
    return problem


if __name__ == "__main__":
    sys.exit(main())
