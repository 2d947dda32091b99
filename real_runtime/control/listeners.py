"""Who can still connect to a rank that has joined? Nobody, where the kernel can drop what arrives at its listeners.

gloo keeps the sockets open at which its peers once arrived, one per process group, and takes whoever comes for a peer.
A socket filter that passes nothing makes them deaf; connections that are up already have none. Some kernels refuse a
filter to who is not root. Then packets are dropped that have fewer hops left than there can be: all but those of a
sender who says so on purpose, and is in the same network.
"""

import ctypes
import os
import socket
import struct
import sys

_SO_ATTACH_FILTER = 26
_RETURN, _NOTHING = 0x06, 0  # of classic BPF: pass so many bytes of the packet
_IP_MINTTL, _IPV6_MINHOPCOUNT = 21, 73
_NEAREST = 255  # hops that a packet has left which no router has passed on; usual ones begin with 64


def close_listeners() -> int:
    """Make all listening TCP sockets of this process deaf; return how many: 0 where the kernel cannot (no Linux)."""
    if sys.platform != "linux":
        return 0
    return sum(map(_made_deaf, os.listdir("/proc/self/fd")))


def _made_deaf(name: str) -> bool:
    try:
        if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
            return False
        socket_ = socket.socket(fileno=int(name))
    except OSError:  # closed since
        return False
    try:
        if not socket_.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        try:
            _pass_nothing(socket_)
        except PermissionError:
            _pass_nearest(socket_)
        return True
    finally:
        socket_.detach()  # it is not ours to close


def _pass_nothing(listener: socket.socket) -> None:
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, _NOTHING))
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _pass_nearest(listener: socket.socket) -> None:
    """Let in only packets with as many hops left as there can be; needs no right."""
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT, _NEAREST)
    listener.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, _NEAREST)
