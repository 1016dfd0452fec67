"""Runs in the box: starts the kernel on sockets that were opened outside.

So the box needs no folder for sockets that it would share with the grader. It inherits five
descriptors on which the grader can reach it, and nothing else.
"""

import os
import resource
import sys
from typing import Any

import zmq
from ipykernel import kernelapp

LIMITS = {
    "RLIMIT_NOFILE": 512,
    "RLIMIT_NPROC": 1024,
    "RLIMIT_SIGPENDING": 1024,
    "RLIMIT_MEMLOCK": 2**20,
}
NICENESS = 10


def main(descriptors: list[int], connection_file: str) -> None:
    """Runs a kernel until it is shut down.

    Args:
        descriptors: those of the sockets, in the order of their numbers in the connection file.
        connection_file: its path.
    """
    bind = zmq.Socket.bind

    def bind_open_socket(self: zmq.Socket, addr: str) -> Any:
        # ipykernel's socket for the output of child processes, which it can do without
        if addr.startswith("tcp:"):
            raise zmq.ZMQError(zmq.EPROTONOSUPPORT)
        if addr.startswith("ipc:"):
            self.setsockopt(zmq.USE_FD, descriptors[int(addr.rsplit("-", 1)[1]) - 1])
        return bind(self, addr)

    zmq.Socket.bind = bind_open_socket
    # the history of inputs would be a file
    kernelapp.launch_new_instance(argv=["-f", connection_file, "--HistoryManager.enabled=False"])


if __name__ == "__main__":
    if "DIFFUSION_LAB_BOXED" in os.environ:
        os.nice(NICENESS)
        for name, limit in LIMITS.items():
            resource.setrlimit(getattr(resource, name), (limit, limit))
    sys.path.pop(0)  # the working folder, where answers may write
    main([int(number) for number in sys.argv[1].split(",")], sys.argv[2])
