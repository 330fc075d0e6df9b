from __future__ import annotations

import socket
from contextlib import closing

from app.local.ports import HOST, accepts, free_ports, is_free


def test_ports_are_distinct_and_below_those_that_clients_are_given() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < 32768


def test_a_port_with_a_listener_is_not_free() -> None:
    with closing(socket.create_server((HOST, free_ports(1)[0]))) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert accepts(port)
    assert not accepts(port)


def test_a_port_is_free_again_while_old_connections_still_linger() -> None:
    with closing(socket.create_server((HOST, free_ports(1)[0]))) as server:
        port = server.getsockname()[1]
        client = socket.create_connection((HOST, port))
        served, _ = server.accept()
        served.close()  # the side that closes first is the one that lingers
        client.close()
    assert is_free(port)
