"""nginx as its experts would run it here: mutual TLS, a locked cache, one worker.

The same server has everything twice: below `/v2/` as whole contents, and below `/slice/v2/` in
slices, which is its best answer to ranges.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import evolve

from deploy.dev import debian
from deploy.dev.device_ca import CertificateFiles
from deploy.dev.processes import Child, free_port, port_answers
from tests.bench.contenders.contender import Contender
from tests.bench.figures import NGINX_SLICE
from tests.bench.load.connection import ACCEPT

SLICE_BYTES = 8 * 1024**2
SLICED_PREFIX = "/slice/v2"

# - All descriptors that it may have, as the facade takes. Asked for more it would get none of them.
# - The lock never expires, so that a herd is one fetch however long it takes.
# - KTLS is taken where the kernel has it; then sendfile works under TLS too.
# - `open_file_cache` and the buffered log are what a busy cache is given.
# - Stopped devices are held, not cut after a minute: their memory is measured.
# - Large buffers towards upstream: a fetch is few wake-ups.
# - A `Range` of a thousand ranges has 20 KiB: by itself it takes 8 KiB.
CONFIGURATION = """\
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid "{folder}/nginx.pid";
error_log "{folder}/error.log" warn;
events {{ worker_connections 16384; }}
http {{
  access_log "{folder}/access.log" combined buffer=64k flush=1s;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_timeout 1h;
  send_timeout 1h;
  keepalive_requests 100000000;
  large_client_header_buffers 4 64k;
  open_file_cache max=10000 inactive=1h;
  open_file_cache_valid 1h;
  types {{ }}
  default_type application/octet-stream;
  client_body_temp_path "{folder}/body";
  proxy_temp_path "{folder}/proxy";
  fastcgi_temp_path "{folder}/fastcgi";
  scgi_temp_path "{folder}/scgi";
  uwsgi_temp_path "{folder}/uwsgi";
  proxy_cache_path "{folder}/cache" levels=2:2 keys_zone=blobs:64m max_size=64g inactive=30d
    use_temp_path=off;
  upstream registry {{
    server {upstream};
    keepalive 64;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} ssl reuseport backlog=65535;
    server_name localhost;
    ssl_certificate "{certificate}";
    ssl_certificate_key "{key}";
    ssl_client_certificate "{device_ca}";
    ssl_verify_client on;
    ssl_protocols TLSv1.3;
    ssl_session_tickets off;
    ssl_conf_command Options KTLS;
    proxy_cache blobs;
    proxy_cache_lock on;
    proxy_cache_lock_timeout 1h;
    proxy_cache_lock_age 1h;
    proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;
    proxy_buffer_size 64k;
    proxy_buffers 16 256k;
    proxy_busy_buffers_size 1m;
    location /slice/v2/ {{
      slice {slice_bytes};
      proxy_pass http://registry/v2/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host {upstream};
      proxy_set_header Authorization "{authorization}";
      proxy_set_header Accept "{accept}";
      proxy_set_header Range $slice_range;
      proxy_cache_key $uri$slice_range;
      proxy_cache_valid 200 206 30d;
    }}
    location /v2/ {{
      proxy_pass http://registry;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host {upstream};
      proxy_set_header Authorization "{authorization}";
      proxy_set_header Accept "{accept}";
      proxy_cache_key $uri;
      proxy_cache_valid 200 30d;
    }}
  }}
}}
"""


@contextmanager
def nginx(
    folder: Path,
    *,
    upstream: str,
    authorization: str,
    server: CertificateFiles,
    device_ca: Path,
    slice_bytes: int = SLICE_BYTES,
) -> Iterator[Contender]:
    """Run nginx before the registry at `upstream` (`address:port`)."""
    folder.mkdir()
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            # As root its worker would be `nobody`, who may not pass through every checkout.
            user="user root;" if os.geteuid() == 0 else "",
            descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            folder=folder,
            port=port,
            upstream=upstream,
            certificate=server.certificate,
            key=server.key,
            device_ca=device_ca,
            authorization=authorization,
            accept=ACCEPT,
            slice_bytes=slice_bytes,
        )
    )
    child = Child.start(
        [
            debian.program("nginx", "nginx"),
            "-p",
            folder,
            "-c",
            configuration,
            "-e",
            folder / "error.log",
        ],
        log=folder / "log",
        environment={"PATH": "/usr/bin:/bin"},
    )
    try:
        child.wait_until(lambda: port_answers(port))
        yield Contender("nginx", port, (child,))
    finally:
        child.stop()


def sliced(nginx: Contender) -> Contender:
    """Return the same server as one that fetches and keeps slices."""
    return evolve(nginx, name=NGINX_SLICE, prefix=SLICED_PREFIX)
