"""No network for any Python process that has this folder on PYTHONPATH.

Every connection that would leave the machine is refused at once, as on a laptop without Wi-Fi.
"""

import ipaddress
import socket


def refuse_unless_local(host):
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    try:
        local = ipaddress.ip_address(name.split("%")[0]).is_loopback or name == "0.0.0.0"
    except ValueError:
        local = name in ("localhost", socket.gethostname())
    if not local:
        raise OSError(f"offline: connection to {name} refused")


def guard(original):
    def guarded(self, *arguments):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            refuse_unless_local(arguments[-1][0])
        return original(self, *arguments)

    return guarded


for method in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, method, guard(getattr(socket.socket, method)))

resolve = socket.getaddrinfo


def getaddrinfo(host, *arguments, **options):
    refuse_unless_local(host)
    return resolve(host, *arguments, **options)


socket.getaddrinfo = getaddrinfo
