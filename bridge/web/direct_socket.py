"""DirectSocket: a way to the kernel past a transport."""

import socket


class DirectSocket(socket.SocketType):
    """A socket object on the transport's descriptor, which it never closes."""

    __slots__ = ()

    def __del__(self) -> None:
        self.detach()
