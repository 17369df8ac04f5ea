"""Exit 0 if a program says that it may be sent traffic: `is_ready.py URL [CA-FILE]`.

The images have no shell and no curl; this runs on their Python, without the product.
"""

import ssl
import sys
import urllib.request

SECONDS = 8  # less than the health check's own limit

url, *authority = sys.argv[1:]
context = ssl.create_default_context(cafile=authority[0]) if authority else None
urllib.request.urlopen(url, timeout=SECONDS, context=context).close()  # noqa: S310 ours, as given
